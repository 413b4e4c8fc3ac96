#include "backend/cuda/packing.h"

#include <cstring>

#include "base/convert.h"
#include "base/dtype.h"

namespace gacer::cuda {

std::vector<float> floats(const Tensor& tensor) {
  require(is_float(tensor.dtype()), "a weight of type {}", to_string(tensor.dtype()));
  std::vector<float> values(static_cast<std::size_t>(tensor.num_elements()));
  convert_numbers(tensor.dtype(), tensor.bytes(), DType::kF32,
                  reinterpret_cast<std::byte*>(values.data()), tensor.num_elements());
  return values;
}

std::vector<std::byte> bytes_of(const std::vector<float>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(float));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

std::vector<std::byte> bytes_as(DType dtype, const std::vector<float>& values) {
  if (dtype == DType::kF32) return bytes_of(values);
  require(dtype == DType::kF16 || dtype == DType::kBF16, "packing as {}", to_string(dtype));
  std::vector<std::byte> bytes(values.size() * 2);
  convert_numbers(DType::kF32, reinterpret_cast<const std::byte*>(values.data()), dtype,
                  bytes.data(), static_cast<std::int64_t>(values.size()));
  return bytes;
}

std::vector<std::byte> bytes_as(DType dtype, const Tensor& tensor) {
  if (tensor.dtype() != dtype) return bytes_as(dtype, floats(tensor));
  return {tensor.bytes(), tensor.bytes() + tensor.size_bytes()};
}

std::vector<std::byte> pack_f32(const Tensor& tensor) { return bytes_of(floats(tensor)); }

}  // namespace gacer::cuda
