#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace gacer {

/// Element types of tensors.
enum class DType : std::uint8_t {
  kF32,
  kF64,
  kF16,
  kBF16,
  kI8,
  kI16,
  kI32,
  kI64,
  kU8,
  kU16,
  kU32,
  kU64,
  kBool
};

/// "f32", "f16", "bf16", "i64", "bool", …
const char* to_string(DType dtype);
/// Bytes of one element (bool: 1).
std::size_t size_of(DType dtype);

/// Sizes of a tensor's axes, outermost first. A scalar has rank 0 and one element.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims) : dims_(dims) {}
  explicit Shape(std::vector<std::int64_t> dims) : dims_(std::move(dims)) {}

  int rank() const { return static_cast<int>(dims_.size()); }
  std::int64_t operator[](int axis) const { return dims_[static_cast<std::size_t>(axis)]; }
  std::int64_t& operator[](int axis) { return dims_[static_cast<std::size_t>(axis)]; }
  const std::vector<std::int64_t>& dims() const { return dims_; }
  /// Product of all sizes; 1 for a scalar.
  std::int64_t num_elements() const;
  /// Elements between neighbours along each axis in row-major order.
  std::vector<std::int64_t> row_major_strides() const;
  /// "[8, 3, 224, 224]"
  std::string to_string() const;

  auto begin() const { return dims_.begin(); }
  auto end() const { return dims_.end(); }
  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::vector<std::int64_t> dims_;
};

/// A host tensor, row-major and contiguous, with shared ownership of its bytes (copying a Tensor
/// shares them). Bytes are 64-byte aligned when allocated here. Not synchronised.
class Tensor {
 public:
  Tensor() = default;
  /// Allocates uninitialised bytes.
  Tensor(DType dtype, Shape shape);
  /// Shares bytes that `owner` keeps alive (a mapped file, a parsed message).
  Tensor(DType dtype, Shape shape, std::shared_ptr<const void> owner, const std::byte* bytes);

  /// Copies `values` (size must equal the shape's element count, else Error{kInternal}).
  template <typename T>
  static Tensor from(Shape shape, std::span<const T> values);
  template <typename T>
  static Tensor from(Shape shape, std::initializer_list<T> values) {
    return from<T>(std::move(shape), std::span<const T>(values.begin(), values.size()));
  }
  template <typename T>
  static Tensor scalar(T value) {
    return from<T>(Shape{}, {value});
  }

  bool empty() const { return bytes_ == nullptr; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  std::int64_t num_elements() const { return shape_.num_elements(); }
  std::size_t size_bytes() const;
  const std::byte* bytes() const { return bytes_; }
  /// What keeps the bytes alive; its identity tells tensors that share bytes.
  const std::shared_ptr<const void>& owner() const { return owner_; }
  /// Writable bytes. Error{kInternal} when the tensor views memory that it may not write.
  std::byte* mutable_bytes();

  /// Typed view. Error{kInternal} when T is not the tensor's element type.
  template <typename T>
  std::span<const T> data() const;
  template <typename T>
  std::span<T> mutable_data();

  /// Same bytes, other shape of equal element count.
  Tensor reshaped(Shape shape) const;

 private:
  DType dtype_ = DType::kF32;
  Shape shape_;
  std::shared_ptr<const void> owner_;
  const std::byte* bytes_ = nullptr;
  bool writable_ = false;
};

/// IEEE half and bfloat16 as storage types; conversions round to nearest even.
struct Half {
  std::uint16_t bits = 0;
  Half() = default;
  explicit Half(float value);
  explicit operator float() const;
};
struct BFloat16 {
  std::uint16_t bits = 0;
  BFloat16() = default;
  explicit BFloat16(float value) {
    const auto f = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t rounded = (f + 0x7fffu + ((f >> 16) & 1u)) >> 16;
    const std::uint32_t quiet_nan = (f >> 16) | 0x40u;
    bits = static_cast<std::uint16_t>((f & 0x7fffffffu) > 0x7f800000u ? quiet_nan : rounded);
  }
  explicit operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
};

}  // namespace gacer
