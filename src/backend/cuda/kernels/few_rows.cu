// Products with few rows: every weight is read once, at the speed of memory. The weights are the
// tall operand of the tensor cores' product and the few rows the narrow one, so that eight rows
// fill a tile. Threads load their operands without shared memory (see mma.cuh).

#include "backend/cuda/kernels/common.cuh"
#include "backend/cuda/kernels/few_rows.h"
#include "backend/cuda/kernels/mma.cuh"
#include "backend/cuda/kernels/tiles.h"

using gacer::cuda::FewRowsArgs;
using gacer::cuda::kChunk;
using gacer::cuda::kChunksAtOnce;
using gacer::cuda::most_warps;

namespace {

/// A block makes 16 * kTiles columns of y for up to 8 * kGroups rows; its warps share k.
template <typename T, int kTiles, int kGroups>
__device__ void few_rows(void* y, const T* x, const T* w, const T* c, const T* bias,
                         const FewRowsArgs& a) {
  float* const parts = shared_memory<float>();
  constexpr int kWide = 16 * kTiles;
  constexpr int kUnroll = kChunksAtOnce<kTiles, kGroups>;
  constexpr int kRows = 8 * kGroups;
  const int warps = blockDim.x / 32;
  const int warp = threadIdx.x / 32;
  const int row = threadIdx.x % 32 / 4;
  const int lane_k = threadIdx.x % 4 * 8;
  const int n0 = blockIdx.x * kWide;
  float sums[kTiles][kGroups][4] = {};

  for (int k0 = warp * kUnroll * kChunk; k0 < a.k; k0 += warps * kUnroll * kChunk) {
    uint4 weights[kUnroll][kTiles][2];
    uint4 inputs[kUnroll][kGroups];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int k = k0 + u * kChunk + lane_k;
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int n = n0 + tile * 16 + half * 8 + row;
          weights[u][tile][half] =
              load_wide(w + static_cast<long long>(n) * a.w_pitch + k, n < a.n && k < a.k);
        }
#pragma unroll
      for (int group = 0; group < kGroups; ++group) {
        const int m = group * 8 + row;
        inputs[u][group] =
            load_wide(x + static_cast<long long>(m) * a.x_pitch + k, m < a.m && k < a.k);
      }
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u)
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
        for (int group = 0; group < kGroups; ++group)
          multiply_chunk<T>(sums[tile][group], weights[u][tile][0], weights[u][tile][1],
                            inputs[u][group]);
  }

  float* own = parts + warp * kWide * kRows;
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
    for (int group = 0; group < kGroups; ++group)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int n = tile * 16 + i / 2 * 8 + row;
        const int m = group * 8 + threadIdx.x % 4 * 2 + i % 2;
        own[m * kWide + n] = sums[tile][group][i];
      }
  __syncthreads();
  for (int i = threadIdx.x; i < kWide * kRows; i += blockDim.x) {
    const int n = n0 + i % kWide;
    const int m = i / kWide;
    if (m >= a.m || n >= a.n) continue;
    float sum = 0;
    for (int from = 0; from < warps; ++from) sum += parts[from * kWide * kRows + i];
    sum *= a.alpha;
    if (c != nullptr) sum += to_float(c[static_cast<long long>(m) * a.c_pitch + n]);
    if (bias != nullptr) sum += to_float(bias[n]);
    const float result = activate(a.activation, sum, a.activation_alpha, a.activation_beta);
    const long long at = static_cast<long long>(m) * a.y_pitch + n;
    if (a.is_result_f32)
      static_cast<float*>(y)[at] = result;
    else
      static_cast<T*>(y)[at] = from_float<T>(result);
  }
}

}  // namespace

// One block of a multiprocessor is enough: see split_conv.cu.
#define MAKE_ONE(suffix, T, tiles, groups)                                                     \
  GACER_KERNEL_OF(32 * most_warps(tiles, groups), 1, few_rows_t##tiles##g##groups##_##suffix,  \
                  void* y, const T* x, const T* w, const T* c, const T* bias, FewRowsArgs a) { \
    few_rows<T, tiles, groups>(y, x, w, c, bias, a);                                           \
  }
#define MAKE(suffix, T)     \
  MAKE_ONE(suffix, T, 1, 1) \
  MAKE_ONE(suffix, T, 1, 2) \
  MAKE_ONE(suffix, T, 1, 4) \
  MAKE_ONE(suffix, T, 1, 8) \
  MAKE_ONE(suffix, T, 2, 1) \
  MAKE_ONE(suffix, T, 2, 2) \
  MAKE_ONE(suffix, T, 2, 4)
MAKE(f16, __half)
MAKE(bf16, __nv_bfloat16)
