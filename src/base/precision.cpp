#include "base/precision.h"

#include <array>
#include <cstddef>

namespace gacer {
namespace {

constexpr std::array<const char*, 4> kNames = {"f32", "tf32", "fp16", "bf16"};

}  // namespace

const char* to_string(Precision precision) { return kNames[static_cast<std::size_t>(precision)]; }

std::optional<Precision> parse_precision(std::string_view text) {
  for (std::size_t i = 0; i < kNames.size(); ++i)
    if (text == kNames[i]) return static_cast<Precision>(i);
  return std::nullopt;
}

DType float_type(Precision precision) {
  if (precision == Precision::kF16) return DType::kF16;
  return precision == Precision::kBF16 ? DType::kBF16 : DType::kF32;
}

}  // namespace gacer
