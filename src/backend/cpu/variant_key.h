#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace gacer::cpu {

/// "<family>/threads=<n>[/<detail>]", e.g. "plain/threads=2", "onednn/3.2/threads=1/jit:avx2".
struct VariantKey {
  std::string family;
  int threads = 1;
  std::string detail;
  std::string to_string() const;
};

/// Empty when the text is no key of that family.
std::optional<VariantKey> parse_variant_key(std::string_view text, std::string_view family);

}  // namespace gacer::cpu
