#include "backend/cpu/variant_key.h"

#include <charconv>

#include <fmt/core.h>

namespace gacer::cpu {
namespace {

constexpr std::string_view kThreads = "/threads=";

}  // namespace

std::string VariantKey::to_string() const {
  std::string text = fmt::format("{}{}{}", family, kThreads, threads);
  if (!detail.empty()) text += "/" + detail;
  return text;
}

std::optional<VariantKey> parse_variant_key(std::string_view text, std::string_view family) {
  if (!text.starts_with(family)) return std::nullopt;
  text.remove_prefix(family.size());
  if (!text.starts_with(kThreads)) return std::nullopt;
  text.remove_prefix(kThreads.size());
  VariantKey key{std::string(family), 0, ""};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), key.threads);
  if (error != std::errc() || key.threads < 1) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (!text.empty()) {
    if (text.front() != '/') return std::nullopt;
    key.detail = text.substr(1);
  }
  return key;
}

}  // namespace gacer::cpu
