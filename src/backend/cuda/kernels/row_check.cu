// Keeps what other kernels made, or compares it with what was kept.

#include "backend/cuda/kernels/gpu.cuh"
#include "backend/cuda/kernels/row_check.h"

using gacer::cuda::RowCheckArgs;

namespace {

__device__ bool is_same(uint4 a, uint4 b) {
  return a.x == b.x && a.y == b.y && a.z == b.z && a.w == b.w;
}
__device__ bool is_same(unsigned a, unsigned b) { return a == b; }
__device__ bool is_same(unsigned char a, unsigned char b) { return a == b; }

/// visit(unit of the copy, unit of the rows, place in the copy) for all of them.
template <typename T, typename F>
__device__ void for_each_unit(const RowCheckArgs& a, F visit) {
  const unsigned long long all = a.count * a.units;
  const unsigned long long step = static_cast<unsigned long long>(gridDim.x) * blockDim.x;
  for (unsigned long long i =
           blockIdx.x * static_cast<unsigned long long>(blockDim.x) + threadIdx.x;
       i < all; i += step) {
    const unsigned long long row = i / a.units;
    const T* const from =
        reinterpret_cast<const T*>(static_cast<const char*>(a.rows) + row * a.pitch);
    visit(static_cast<T*>(a.copy)[i], from[i - row * a.units], i);
  }
}

template <typename T>
__device__ void copy_rows(const RowCheckArgs& a) {
  for_each_unit<T>(a, [](T& copy, T value, unsigned long long) { copy = value; });
}

/// difference: {bytes, first, last}
template <typename T>
__device__ void compare_rows(const RowCheckArgs& a, unsigned long long* difference) {
  for_each_unit<T>(a, [&](const T& copy, T value, unsigned long long i) {
    if (is_same(copy, value)) return;
    atomicAdd(difference, static_cast<unsigned long long>(sizeof(T)));
    atomicMin(difference + 1, i * sizeof(T));
    atomicMax(difference + 2, (i + 1) * sizeof(T) - 1);
  });
}

}  // namespace

#define MAKE(bytes, T)                                                            \
  GACER_KERNEL(copy_rows_##bytes, RowCheckArgs a) { copy_rows<T>(a); }            \
  GACER_KERNEL(compare_rows_##bytes, RowCheckArgs a, unsigned long long* found) { \
    compare_rows<T>(a, found);                                                    \
  }
MAKE(16, uint4)
MAKE(4, unsigned)
MAKE(1, unsigned char)
