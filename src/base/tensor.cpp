#include <bit>
#include <cmath>
#include <cstring>
#include <new>

#include <gacer/tensor.h>

#include "base/dtype.h"
#include "base/error.h"

namespace gacer {
namespace {

constexpr std::size_t kAlignment = 64;

struct DTypeInfo {
  DType dtype;
  const char* name;
  std::size_t size;
};

constexpr DTypeInfo kDTypes[] = {
    {DType::kF32, "f32", 4},   {DType::kF64, "f64", 8}, {DType::kF16, "f16", 2},
    {DType::kBF16, "bf16", 2}, {DType::kI8, "i8", 1},   {DType::kI16, "i16", 2},
    {DType::kI32, "i32", 4},   {DType::kI64, "i64", 8}, {DType::kU8, "u8", 1},
    {DType::kU16, "u16", 2},   {DType::kU32, "u32", 4}, {DType::kU64, "u64", 8},
    {DType::kBool, "bool", 1},
};

const DTypeInfo& info(DType dtype) { return kDTypes[static_cast<std::size_t>(dtype)]; }

}  // namespace

const char* to_string(DType dtype) { return info(dtype).name; }
std::size_t size_of(DType dtype) { return info(dtype).size; }

std::optional<DType> parse_dtype(std::string_view text) {
  for (const DTypeInfo& entry : kDTypes)
    if (text == entry.name) return entry.dtype;
  return std::nullopt;
}

std::int64_t Shape::num_elements() const {
  std::int64_t count = 1;
  for (std::int64_t dim : dims_) count *= dim;
  return count;
}

std::vector<std::int64_t> Shape::row_major_strides() const {
  std::vector<std::int64_t> strides(dims_.size(), 1);
  for (int axis = rank() - 2; axis >= 0; --axis) {
    const auto i = static_cast<std::size_t>(axis);
    strides[i] = strides[i + 1] * dims_[i + 1];
  }
  return strides;
}

std::string Shape::to_string() const {
  std::string text = "[";
  for (std::size_t i = 0; i < dims_.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(dims_[i]);
  }
  return text + "]";
}

Tensor::Tensor(DType dtype, Shape shape)
    : dtype_(dtype), shape_(std::move(shape)), writable_(true) {
  const std::size_t size = std::max<std::size_t>(size_bytes(), 1);
  auto* memory = static_cast<std::byte*>(::operator new (size, std::align_val_t{kAlignment}));
  owner_ = std::shared_ptr<const void>(memory, [](const void* p) {
    ::operator delete (const_cast<void*>(p), std::align_val_t{kAlignment});
  });
  bytes_ = memory;
}

Tensor::Tensor(DType dtype, Shape shape, std::shared_ptr<const void> owner, const std::byte* bytes)
    : dtype_(dtype), shape_(std::move(shape)), owner_(std::move(owner)), bytes_(bytes) {}

std::size_t Tensor::size_bytes() const {
  return static_cast<std::size_t>(shape_.num_elements()) * size_of(dtype_);
}

std::byte* Tensor::mutable_bytes() {
  require(writable_, "tensor {} {} is read-only", gacer::to_string(dtype_), shape_.to_string());
  return const_cast<std::byte*>(bytes_);
}

Tensor Tensor::reshaped(Shape shape) const {
  require(shape.num_elements() == num_elements(), "cannot reshape {} to {}", shape_.to_string(),
          shape.to_string());
  Tensor copy = *this;
  copy.shape_ = std::move(shape);
  return copy;
}

template <typename T>
Tensor Tensor::from(Shape shape, std::span<const T> values) {
  Tensor tensor(dtype_of<T>(), std::move(shape));
  require(tensor.num_elements() == static_cast<std::int64_t>(values.size()),
          "{} values for shape {}", values.size(), tensor.shape().to_string());
  if (!values.empty()) std::memcpy(tensor.mutable_bytes(), values.data(), values.size_bytes());
  return tensor;
}

template <typename T>
std::span<const T> Tensor::data() const {
  require(dtype_ == dtype_of<T>(), "tensor holds {}, asked for {}", gacer::to_string(dtype_),
          gacer::to_string(dtype_of<T>()));
  return {reinterpret_cast<const T*>(bytes_), static_cast<std::size_t>(num_elements())};
}

template <typename T>
std::span<T> Tensor::mutable_data() {
  std::span<const T> view = data<T>();
  return {reinterpret_cast<T*>(mutable_bytes()), view.size()};
}

#define GACER_INSTANTIATE(T)                                  \
  template Tensor Tensor::from<T>(Shape, std::span<const T>); \
  template std::span<const T> Tensor::data<T>() const;        \
  template std::span<T> Tensor::mutable_data<T>();
GACER_INSTANTIATE(float)
GACER_INSTANTIATE(double)
GACER_INSTANTIATE(Half)
GACER_INSTANTIATE(BFloat16)
GACER_INSTANTIATE(std::int8_t)
GACER_INSTANTIATE(std::int16_t)
GACER_INSTANTIATE(std::int32_t)
GACER_INSTANTIATE(std::int64_t)
GACER_INSTANTIATE(std::uint8_t)
GACER_INSTANTIATE(std::uint16_t)
GACER_INSTANTIATE(std::uint32_t)
GACER_INSTANTIATE(std::uint64_t)
GACER_INSTANTIATE(bool)
#undef GACER_INSTANTIATE

Half::Half(float value) {
  const auto f = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (f >> 16) & 0x8000u;
  const std::uint32_t magnitude = f & 0x7fffffffu;
  if (magnitude >= 0x7f800000u) {  // infinity, NaN
    bits = static_cast<std::uint16_t>(sign | 0x7c00u | (magnitude > 0x7f800000u ? 0x200u : 0u));
  } else if (magnitude >= 0x477ff000u) {  // rounds beyond the largest half
    bits = static_cast<std::uint16_t>(sign | 0x7c00u);
  } else if (magnitude < 0x38800000u) {  // subnormal or zero: let float addition round
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    bits = static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u));
  } else {
    const std::uint32_t odd = (magnitude >> 13) & 1u;
    bits = static_cast<std::uint16_t>(sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13));
  }
}

Half::operator float() const {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1fu;
  const std::uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0) {
    const float value = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -value : value;
  }
  const std::uint32_t wide = exponent == 0x1f ? 0x7f800000u : (exponent + 112) << 23;
  return std::bit_cast<float>(sign | wide | (mantissa << 13));
}

}  // namespace gacer
