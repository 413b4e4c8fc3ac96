#include "backend/cuda/packing.h"

#include <cstring>

#include "base/dtype.h"

namespace gacer::cuda {

std::vector<float> floats(const Tensor& tensor) {
  require(is_float(tensor.dtype()), "a weight of type {}", to_string(tensor.dtype()));
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(tensor.num_elements()));
  dispatch_dtype(tensor.dtype(), [&](auto tag) {
    for (const auto& x : tensor.data<decltype(tag)>()) values.push_back(static_cast<float>(x));
  });
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
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint16_t bits =
        dtype == DType::kF16 ? Half(values[i]).bits : BFloat16(values[i]).bits;
    std::memcpy(bytes.data() + 2 * i, &bits, 2);
  }
  return bytes;
}

std::vector<std::byte> bytes_as(DType dtype, const Tensor& tensor) {
  if (tensor.dtype() != dtype) return bytes_as(dtype, floats(tensor));
  return {tensor.bytes(), tensor.bytes() + tensor.size_bytes()};
}

std::vector<std::byte> pack_f32(const Tensor& tensor) { return bytes_of(floats(tensor)); }

}  // namespace gacer::cuda
