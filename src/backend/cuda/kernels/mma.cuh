// One product of the tensor cores: d[16, 8] += a[16, 16] · b[16, 8], operands of 16 bits, sums in
// f32. Which elements a thread holds: the description of mma.m16n8k16 in the PTX manual.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace {

__device__ inline void multiply(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                                __half) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ inline void multiply(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                                __nv_bfloat16) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
      "{%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

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
