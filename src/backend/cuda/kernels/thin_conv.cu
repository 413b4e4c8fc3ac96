// Convolutions of a few input channels (a network's first) by tensor cores. The window's taps of
// all channels are one axis of the product, so that nothing is spent on channels that are padding:
// a block brings its part of the image into shared memory and each thread gathers its operands
// there. Weights come packed in the order in which the threads take them (see thin_conv.cpp).

#include "backend/cuda/kernels/common.cuh"
#include "backend/cuda/kernels/thin_conv.h"

using gacer::cuda::kThinConvWidth;
using gacer::cuda::ThinConvArgs;

namespace {

__device__ void multiply(float (&d)[4], const unsigned (&a)[4], uint2 b, __half) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b.x), "r"(b.y));
}
__device__ void multiply(float (&d)[4], const unsigned (&a)[4], uint2 b, __nv_bfloat16) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
      "{%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b.x), "r"(b.y));
}

/// Two elements of shared memory as one operand register; absent ones are zero.
__device__ unsigned gather(const unsigned short* base, int first, int second) {
  const unsigned low = first >= 0 ? base[first] : 0;
  const unsigned high = second >= 0 ? base[second] : 0;
  return low | high << 16;
}

/// Shared memory: packed weights, then where each tap lies in the patch, then the patch.
template <typename T, int kTiles>
__device__ void thin_conv(T* y, const T* x, const uint2* weights, const float* bias,
                          const ThinConvArgs& a) {
  extern __shared__ uint4 shared[];
  const int weight_packs = a.k_steps * kTiles * 32;  // of 8 bytes
  uint2* const own_weights = reinterpret_cast<uint2*>(shared);
  int* const taps = reinterpret_cast<int*>(own_weights + weight_packs);
  unsigned short* const patch = reinterpret_cast<unsigned short*>(taps + a.k_steps * 16);

  const int rows = blockDim.x / 32;
  const int tiles_w = (a.out_w + kThinConvWidth - 1) / kThinConvWidth;
  const int tiles_h = (a.out_h + rows - 1) / rows;
  const int ow0 = blockIdx.x % tiles_w * kThinConvWidth;
  const int oh0 = blockIdx.x / tiles_w % tiles_h * rows;
  const long long image = blockIdx.x / tiles_w / tiles_h;

  // Loads first, stores after: a load that waits for the store before it costs the whole latency.
  const uint4* const from = reinterpret_cast<const uint4*>(weights) +
                            static_cast<long long>(blockIdx.y) * (weight_packs / 2);
  constexpr int kWeightBatch = 5;
  for (int base = threadIdx.x; base < weight_packs / 2; base += kWeightBatch * blockDim.x) {
    uint4 packs[kWeightBatch];
#pragma unroll
    for (int u = 0; u < kWeightBatch; ++u)
      if (const int i = base + u * blockDim.x; i < weight_packs / 2) packs[u] = __ldg(from + i);
#pragma unroll
    for (int u = 0; u < kWeightBatch; ++u)
      if (const int i = base + u * blockDim.x; i < weight_packs / 2) shared[i] = packs[u];
  }
  for (int i = threadIdx.x; i < a.k_steps * 16; i += blockDim.x) {
    const int s = i % a.kernel_w;
    const int r = i / a.kernel_w % a.kernel_h;
    const int c = i / a.kernel_w / a.kernel_h;
    taps[i] = i < a.k ? (c * a.patch_h + r * a.dilation_h) * a.patch_w + s * a.dilation_w : -1;
  }
  const int h0 = oh0 * a.stride_h - a.pad_h;
  const int w0 = ow0 * a.stride_w - a.pad_w;
  const unsigned short* const pixels = reinterpret_cast<const unsigned short*>(x) + image * a.x_n;
  // A warp takes a few rows of the patch at once.
  constexpr int kRowBatch = 8;
  const int patch_rows = a.channels * a.patch_h;
  for (int base = threadIdx.x / 32; base < patch_rows; base += kRowBatch * rows) {
    const unsigned short* line_from[kRowBatch];
#pragma unroll
    for (int u = 0; u < kRowBatch; ++u) {
      const int line = base + u * rows;
      const int c = line / a.patch_h;
      const int h = h0 + line % a.patch_h;
      line_from[u] =
          line < patch_rows && h >= 0 && h < a.in_h ? pixels + c * a.x_c + h * a.x_h : nullptr;
    }
    for (int column = threadIdx.x % 32; column < a.patch_w; column += 32) {
      const int w = w0 + column;
      const bool is_inside = w >= 0 && w < a.in_w;
      unsigned short values[kRowBatch];
#pragma unroll
      for (int u = 0; u < kRowBatch; ++u)
        values[u] = is_inside && line_from[u] != nullptr ? __ldg(line_from[u] + w * a.x_w) : 0;
#pragma unroll
      for (int u = 0; u < kRowBatch; ++u)
        if (const int line = base + u * rows; line < patch_rows)
          patch[line * a.patch_w + column] = values[u];
    }
  }
  __syncthreads();

  const int lane = threadIdx.x % 32;
  const int row = threadIdx.x / 32;
  const int pixel = lane / 4;
  const int pair = lane % 4 * 2;
  const unsigned short* const line = patch + row * a.stride_h * a.patch_w + pixel * a.stride_w;
  float sums[2][kTiles][4] = {};
  for (int step = 0; step < a.k_steps; ++step) {
    int tap[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) tap[i] = taps[step * 16 + pair + i % 2 + i / 2 * 8];
    unsigned operand[2][4];
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const unsigned short* const at = line + (half * 16 + i % 2 * 8) * a.stride_w;
        operand[half][i] = gather(at, tap[i / 2 * 2], tap[i / 2 * 2 + 1]);
      }
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      const uint2 weight = own_weights[(step * kTiles + tile) * 32 + lane];
#pragma unroll
      for (int half = 0; half < 2; ++half) multiply(sums[half][tile], operand[half], weight, T());
    }
  }

  const int oh = oh0 + row;
  if (oh >= a.out_h) return;
  // Tiles of one group hold neighbouring channels of a thread.
  constexpr int kGroup = kTiles < 4 ? kTiles : 4;
  constexpr int kRun = 2 * kGroup;
#pragma unroll
  for (int part = 0; part < 4; ++part) {  // 8 pixels each
    const int ow = ow0 + part * 8 + pixel;
    if (ow >= a.out_w) continue;
    T* const to = y + image * a.y_n + oh * a.y_h + ow * a.y_w;
#pragma unroll
    for (int group = 0; group < kTiles / kGroup; ++group) {
      const int channel = blockIdx.y * kTiles * 8 + group * kRun * 4 + lane % 4 * kRun;
      Pack<T, kRun> run;
#pragma unroll
      for (int i = 0; i < kRun; ++i) {
        const float sum = sums[part / 2][group * kGroup + i / 2][part % 2 * 2 + i % 2];
        const float value = bias != nullptr ? sum + bias[channel + i] : sum;
        run.at[i] = from_float<T>(activate_many(a.activation, value, a.alpha, a.beta));
      }
      *reinterpret_cast<Pack<T, kRun>*>(to + channel) = run;
    }
  }
}

}  // namespace

#define MAKE_ONE(suffix, T, tiles)                                                                 \
  extern "C" __global__ void thin_conv_t##tiles##_##suffix(T* y, const T* x, const uint2* weights, \
                                                           const float* bias, ThinConvArgs a) {    \
    thin_conv<T, tiles>(y, x, weights, bias, a);                                                   \
  }
#define MAKE(suffix, T)  \
  MAKE_ONE(suffix, T, 2) \
  MAKE_ONE(suffix, T, 4) \
  MAKE_ONE(suffix, T, 8)
MAKE(f16, __half)
MAKE(bf16, __nv_bfloat16)
