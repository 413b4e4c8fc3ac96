#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace gacer::cuda {

/// The number of SMs that a library planned a variant for, as variant keys name it: "all" (0) or
/// "sm66".
std::string sm_target_text(int sm_target);
/// Its inverse; nothing for any other text.
std::optional<int> parse_sm_target(std::string_view text);

}  // namespace gacer::cuda
