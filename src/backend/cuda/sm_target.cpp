#include "backend/cuda/sm_target.h"

#include <charconv>

#include <fmt/core.h>

namespace gacer::cuda {

std::string sm_target_text(int sm_target) {
  return sm_target == 0 ? "all" : fmt::format("sm{}", sm_target);
}

std::optional<int> parse_sm_target(std::string_view text) {
  if (text == "all") return 0;
  if (!text.starts_with("sm")) return std::nullopt;
  int sms = 0;
  const char* end = text.data() + text.size();
  const auto [next, code] = std::from_chars(text.data() + 2, end, sms);
  if (code != std::errc{} || next != end || sms < 1) return std::nullopt;
  return sms;
}

}  // namespace gacer::cuda
