// Products of the tensor cores (multiply() in gpu.cuh) over operands that threads load themselves.
#pragma once

#include "backend/cuda/kernels/gpu.cuh"

namespace {

/// The order of k inside a chunk of 32 is free as long as both operands agree: each thread takes
/// eight neighbours of k (one wide load), which feed two products. `low` and `high` are the rows
/// of a that a thread holds, eight apart.
template <typename T>
__device__ inline void multiply_chunk(float (&d)[4], uint4 low, uint4 high, uint4 in) {
  const unsigned first[4] = {low.x, high.x, low.y, high.y};
  const unsigned second[4] = {low.z, high.z, low.w, high.w};
  const unsigned first_in[2] = {in.x, in.y};
  const unsigned second_in[2] = {in.z, in.w};
  multiply(d, first, first_in, T());
  multiply(d, second, second_in, T());
}

template <typename T>
__device__ inline uint4 load_wide(const T* from, bool is_inside) {
  return is_inside ? __ldg(reinterpret_cast<const uint4*>(from)) : make_uint4(0, 0, 0, 0);
}

}  // namespace
