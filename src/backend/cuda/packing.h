#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include <gacer/tensor.h>

namespace gacer::cuda {

/// A float tensor of any type as f32 numbers.
std::vector<float> floats(const Tensor& tensor);
std::vector<std::byte> bytes_of(const std::vector<float>& values);
/// Numbers in a float type, rounded to nearest.
std::vector<std::byte> bytes_as(DType dtype, const std::vector<float>& values);
/// A tensor's numbers in a float type, rounded to nearest; its bytes when it has that type.
std::vector<std::byte> bytes_as(DType dtype, const Tensor& tensor);
/// The tensor's numbers as f32.
std::vector<std::byte> pack_f32(const Tensor& tensor);

}  // namespace gacer::cuda
