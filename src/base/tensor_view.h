#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <gacer/tensor.h>

#include "base/dtype.h"

namespace gacer {

/// A typed window on memory that somebody else owns. Strides count elements. A missing optional
/// operand has data == nullptr.
struct TensorView {
  std::byte* data = nullptr;
  DType dtype = DType::kF32;
  Shape shape;
  std::vector<std::int64_t> strides;

  TensorView() = default;
  /// Row-major over `memory`.
  TensorView(void* memory, DType type, Shape dims)
      : data(static_cast<std::byte*>(memory)),
        dtype(type),
        shape(std::move(dims)),
        strides(shape.row_major_strides()) {}

  /// Read-only use of a tensor's bytes; the callee must not write.
  static TensorView of(const Tensor& tensor) {
    return TensorView(const_cast<std::byte*>(tensor.bytes()), tensor.dtype(), tensor.shape());
  }
  static TensorView of(Tensor& tensor) {
    return TensorView(tensor.mutable_bytes(), tensor.dtype(), tensor.shape());
  }

  explicit operator bool() const { return data != nullptr; }
  std::int64_t num_elements() const { return shape.num_elements(); }
  std::size_t size_bytes() const {
    return static_cast<std::size_t>(num_elements()) * size_of(dtype);
  }
  bool is_contiguous() const { return strides == shape.row_major_strides(); }

  /// Elements as a flat array. Precondition: contiguous, T is the element type.
  template <typename T>
  std::span<T> flat() const {
    require(dtype == dtype_of<T>() && is_contiguous(), "flat() on a {} view of shape {}",
            to_string(dtype), shape.to_string());
    return {reinterpret_cast<T*>(data), static_cast<std::size_t>(num_elements())};
  }
};

}  // namespace gacer
