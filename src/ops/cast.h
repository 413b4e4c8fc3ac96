#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "base/parallel.h"
#include "base/tensor_view.h"

namespace gacer {

/// DType of ONNX's TensorProto.DataType number; Error{kUnsupported} for types that we do not have.
DType dtype_of_onnx(std::int64_t number);

/// Conversion to an arithmetic type; floats that an integer type cannot hold become its nearest
/// number, NaN becomes 0.
template <typename To, typename From>
To saturate_cast(From value) {
  if constexpr (std::is_same_v<To, bool>) {
    return value != From{0};
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    // Powers of two: exact in any float type.
    const From above = std::ldexp(From{1}, std::numeric_limits<To>::digits);
    const From below = std::is_signed_v<To> ? -above : From{0};
    if (value >= above) return std::numeric_limits<To>::max();
    if (value <= below) return std::numeric_limits<To>::min();
    return value == value ? static_cast<To>(value) : To{0};
  } else {
    return static_cast<To>(value);
  }
}

/// Converts elements between contiguous views of one element count.
void cast_elements(const TensorView& from, const TensorView& to, Team& team);

}  // namespace gacer
