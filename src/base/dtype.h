#pragma once

#include <optional>
#include <string_view>
#include <type_traits>

#include <gacer/tensor.h>

#include "base/error.h"

namespace gacer {

/// DType of a C++ element type.
template <typename T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>)
    return DType::kF32;
  else if constexpr (std::is_same_v<T, double>)
    return DType::kF64;
  else if constexpr (std::is_same_v<T, Half>)
    return DType::kF16;
  else if constexpr (std::is_same_v<T, BFloat16>)
    return DType::kBF16;
  else if constexpr (std::is_same_v<T, std::int8_t>)
    return DType::kI8;
  else if constexpr (std::is_same_v<T, std::int16_t>)
    return DType::kI16;
  else if constexpr (std::is_same_v<T, std::int32_t>)
    return DType::kI32;
  else if constexpr (std::is_same_v<T, std::int64_t>)
    return DType::kI64;
  else if constexpr (std::is_same_v<T, std::uint8_t>)
    return DType::kU8;
  else if constexpr (std::is_same_v<T, std::uint16_t>)
    return DType::kU16;
  else if constexpr (std::is_same_v<T, std::uint32_t>)
    return DType::kU32;
  else if constexpr (std::is_same_v<T, std::uint64_t>)
    return DType::kU64;
  else {
    static_assert(std::is_same_v<T, bool>, "no DType for this C++ type");
    return DType::kBool;
  }
}

/// Inverse of to_string(DType); empty when unknown.
std::optional<DType> parse_dtype(std::string_view text);

constexpr bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF64 || dtype == DType::kF16 ||
         dtype == DType::kBF16;
}
constexpr bool is_integer(DType dtype) { return !is_float(dtype) && dtype != DType::kBool; }

/// Calls `body(T{})` with the C++ type of `dtype`; the result types must agree.
template <typename Body>
decltype(auto) dispatch_dtype(DType dtype, Body&& body) {
  switch (dtype) {
    case DType::kF32:
      return body(float{});
    case DType::kF64:
      return body(double{});
    case DType::kF16:
      return body(Half{});
    case DType::kBF16:
      return body(BFloat16{});
    case DType::kI8:
      return body(std::int8_t{});
    case DType::kI16:
      return body(std::int16_t{});
    case DType::kI32:
      return body(std::int32_t{});
    case DType::kI64:
      return body(std::int64_t{});
    case DType::kU8:
      return body(std::uint8_t{});
    case DType::kU16:
      return body(std::uint16_t{});
    case DType::kU32:
      return body(std::uint32_t{});
    case DType::kU64:
      return body(std::uint64_t{});
    case DType::kBool:
      return body(bool{});
  }
  fail(ErrorKind::kInternal, "bad dtype {}", static_cast<int>(dtype));
}

}  // namespace gacer
