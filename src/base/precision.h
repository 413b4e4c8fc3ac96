#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <gacer/tensor.h>

namespace gacer {

/// Arithmetic that a tenant's kernels may use. kTF32: f32 storage, reduced-precision products.
enum class Precision : std::uint8_t { kF32, kTF32, kF16, kBF16 };

/// "f32", "tf32", "fp16", "bf16"
const char* to_string(Precision precision);
std::optional<Precision> parse_precision(std::string_view text);
/// The element type in which floats are kept.
DType float_type(Precision precision);

}  // namespace gacer
