// Convolutions of a few input channels (a network's first) by tensor cores. Channels lie in groups
// of four in shared memory, so that one load brings what one thread multiplies of one tap: the
// product's long axis is groups x taps x 4. A block brings its part of the image there once, and
// rounds it if it is f32; weights come packed in the order in which the threads take them (see
// thin_conv.cpp).

#include "backend/cuda/kernels/common.cuh"
#include "backend/cuda/kernels/mma.cuh"
#include "backend/cuda/kernels/thin_conv.h"

using gacer::cuda::kThinConvGroup;
using gacer::cuda::kThinConvWidth;
using gacer::cuda::ThinConvArgs;

namespace {

/// Where a block works.
struct Place {
  int oh, ow, filter, filter_block;
  long long image;
};

/// The grid: blocks of filters and, beside each other, of columns; of rows; images.
__device__ Place find_place(const ThinConvArgs& a, int filters) {
  Place place;
  const int column = divide(blockIdx.x, a.filter_blocks);
  place.filter_block = blockIdx.x - column * a.filter_blocks.value;
  place.filter = place.filter_block * filters;
  place.ow = column * kThinConvWidth;
  place.oh = blockIdx.y * (blockDim.x / 32);
  place.image = blockIdx.z;
  return place;
}

/// Vectors to shared memory. Loads first, stores after: a load that waits for the store before it
/// costs the whole latency.
__device__ void copy_weights(uint4* to, const uint4* from, int count) {
  constexpr int kBatch = 4;
  for (int base = threadIdx.x; base < count; base += kBatch * blockDim.x) {
    uint4 vectors[kBatch];
#pragma unroll
    for (int u = 0; u < kBatch; ++u)
      if (const int i = base + u * blockDim.x; i < count) vectors[u] = __ldg(from + i);
#pragma unroll
    for (int u = 0; u < kBatch; ++u)
      if (const int i = base + u * blockDim.x; i < count) to[i] = vectors[u];
  }
}

/// Two neighbours of an image as numbers of type T.
template <typename T>
__device__ unsigned pair_of(unsigned short low, unsigned short high) {  // these are T's bits
  return low | static_cast<unsigned>(high) << 16;
}
template <typename T>
__device__ unsigned pair_of(float low, float high) {
  return round_pair<T>(low, high);
}

/// A group of at most four channels of the patch, whose first pixel lies at (h0, w0); zero outside
/// the image and where channels are missing. A thread has kBatch pixels under way.
template <int kBatch, typename T, typename In>
__device__ void copy_group(uint2* patch, const In* image, int channels, int h0, int w0,
                           const ThinConvArgs& a) {
  const int area = a.patch_h * a.patch_w;
  const float per_row = 1.0f / a.patch_w;  // exact enough: positions are far below 2^20
  for (int base = threadIdx.x; base < area; base += kBatch * blockDim.x) {
    In values[kBatch][kThinConvGroup];
#pragma unroll
    for (int u = 0; u < kBatch; ++u) {
      const int at = base + u * blockDim.x;
      const int row = static_cast<int>((at + 0.5f) * per_row);
      const int h = h0 + row;
      const int w = w0 + at - row * a.patch_w;
      const bool is_inside = static_cast<unsigned>(h) < a.in_h && static_cast<unsigned>(w) < a.in_w;
      const In* const pixel = image + (h * a.x_h + w * a.x_w);
#pragma unroll
      for (int c = 0; c < kThinConvGroup; ++c)
        values[u][c] = is_inside && c < channels ? __ldg(pixel + c * a.x_c) : In(0);
    }
#pragma unroll
    for (int u = 0; u < kBatch; ++u)
      if (const int at = base + u * blockDim.x; at < area)
        patch[at] = make_uint2(pair_of<T>(values[u][0], values[u][1]),
                               pair_of<T>(values[u][2], values[u][3]));
  }
}

/// The part of the image that the block's windows see, group by group, four channels a pixel.
/// Images of T come as their bits.
template <typename T, typename In>
__device__ void copy_patch(uint2* patch, const In* image, const Place& place,
                           const ThinConvArgs& a) {
  const int h0 = place.oh * a.stride_h - a.pad_h;
  const int w0 = place.ow * a.stride_w - a.pad_w;
  const int area = a.patch_h * a.patch_w;
  for (int first = 0; first < a.channels; first += kThinConvGroup) {
    const int channels = a.channels - first;
    // Every batch waits for its loads once; one that is mostly beyond the patch costs its
    // instructions all the same.
    if (area <= 2 * blockDim.x)
      copy_group<2, T>(patch, image, channels, h0, w0, a);
    else if (area <= 4 * blockDim.x)
      copy_group<4, T>(patch, image, channels, h0, w0, a);
    else
      copy_group<8, T>(patch, image, channels, h0, w0, a);
    image += static_cast<long long>(kThinConvGroup) * a.x_c;
    patch += area;
  }
}

/// Adds the bias, applies f and writes. Tiles of one run hold neighbouring channels of a thread.
template <typename T, int kTiles, typename F>
__device__ void finish(T* y, const float (&sums)[2][kTiles][4], const float* bias,
                       const Place& place, const ThinConvArgs& a, F f) {
  constexpr int kRunTiles = kTiles < 4 ? kTiles : 4;
  constexpr int kRun = 2 * kRunTiles;
  const int lane = threadIdx.x % 32;
  const int oh = place.oh + threadIdx.x / 32;
  if (oh >= a.out_h) return;
  T* const line = y + place.image * a.y_n + oh * a.y_h + place.filter;
#pragma unroll
  for (int run = 0; run < kTiles / kRunTiles; ++run) {
    const int channel = run * kRun * 4 + lane % 4 * kRun;
    float own_bias[kRun];
#pragma unroll
    for (int i = 0; i < kRun; i += 4) {
      const float4 four = *reinterpret_cast<const float4*>(bias + channel + i);
      own_bias[i] = four.x;
      own_bias[i + 1] = four.y;
      own_bias[i + 2] = four.z;
      own_bias[i + 3] = four.w;
    }
#pragma unroll
    for (int part = 0; part < 4; ++part) {  // 8 pixels each
      const int ow = place.ow + part * 8 + lane / 4;
      float values[kRun];
#pragma unroll
      for (int i = 0; i < kRun; ++i)
        values[i] = f(sums[part / 2][run * kRunTiles + i / 2][part % 2 * 2 + i % 2] + own_bias[i]);
      if (ow < a.out_w) store_rounded(line + ow * a.y_w + channel, values);
    }
  }
}

/// Shared memory: packed weights, biases, where each tap lies in the patch, the patch.
template <typename T, typename In, int kTiles>
__device__ void thin_conv(T* y, const In* x, const uint2* weights, const float* bias,
                          const ThinConvArgs& a) {
  uint4* const shared = shared_memory<uint4>();
  const int weight_packs = a.k_steps * kTiles * 32;  // of 8 bytes
  uint2* const own_weights = reinterpret_cast<uint2*>(shared);
  float* const own_bias = reinterpret_cast<float*>(own_weights + weight_packs);
  int* const taps = reinterpret_cast<int*>(own_bias + kTiles * 8);
  uint2* const patch = reinterpret_cast<uint2*>(taps + a.k_steps * 4);

  const Place place = find_place(a, kTiles * 8);
  copy_weights(shared,
               reinterpret_cast<const uint4*>(weights) +
                   static_cast<long long>(place.filter_block) * (weight_packs / 2),
               weight_packs / 2);
  for (int i = threadIdx.x; i < kTiles * 8; i += blockDim.x)
    own_bias[i] = bias != nullptr ? __ldg(bias + place.filter + i) : 0.0f;
  for (int i = threadIdx.x; i < a.k_steps * 4; i += blockDim.x) {
    const int s = i % a.kernel_w;
    const int r = i / a.kernel_w % a.kernel_h;
    const int group = i / a.kernel_w / a.kernel_h;
    // Steps that are not full end in taps that are zero, as their weights are.
    taps[i] =
        i < a.num_taps ? (group * a.patch_h + r * a.dilation_h) * a.patch_w + s * a.dilation_w : -1;
  }
  copy_patch<T>(patch, x + place.image * a.x_n, place, a);
  __syncthreads();

  const int lane = threadIdx.x % 32;
  const uint2* const line =
      patch + threadIdx.x / 32 * a.stride_h * a.patch_w + lane / 4 * a.stride_w;
  // What a thread multiplies of a step's tap, a step ahead of its use.
  const auto load = [&](int step, unsigned(&operand)[2][4]) {
    const int tap = taps[step * 4 + lane % 4];
    const bool is_tap = tap >= 0;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const uint2 low = is_tap ? line[tap + half * 16 * a.stride_w] : make_uint2(0, 0);
      const uint2 high = is_tap ? line[tap + (half * 16 + 8) * a.stride_w] : make_uint2(0, 0);
      operand[half][0] = low.x;
      operand[half][1] = high.x;
      operand[half][2] = low.y;
      operand[half][3] = high.y;
    }
  };
  float sums[2][kTiles][4] = {};
  unsigned next[2][4];
  load(0, next);
#pragma unroll 1
  for (int step = 0; step < a.k_steps; ++step) {
    unsigned operand[2][4];
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int i = 0; i < 4; ++i) operand[half][i] = next[half][i];
    load(min(step + 1, a.k_steps - 1), next);
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      const uint2 pack = own_weights[(step * kTiles + tile) * 32 + lane];
      const unsigned weight[2] = {pack.x, pack.y};
#pragma unroll
      for (int half = 0; half < 2; ++half) multiply(sums[half][tile], operand[half], weight, T());
    }
  }

  // One copy of the end for each common activation, without a choice at every element.
  if (a.activation == kIdentity)
    finish<T, kTiles>(y, sums, own_bias, place, a, [](float v) { return v; });
  else if (a.activation == kRelu)
    finish<T, kTiles>(y, sums, own_bias, place, a, [](float v) { return relu(v); });
  else
    finish<T, kTiles>(y, sums, own_bias, place, a,
                      [&](float v) { return activate_many(a.activation, v, a.alpha, a.beta); });
}

}  // namespace

// The name says the image's type where it is another than the result's.
#define MAKE_ONE(suffix, T, In, tiles)                                                 \
  GACER_KERNEL(thin_conv_t##tiles##_##suffix, T* y, const In* x, const uint2* weights, \
               const float* bias, ThinConvArgs a) {                                    \
    thin_conv<T, In, tiles>(y, x, weights, bias, a);                                   \
  }
#define MAKE(suffix, T, In)  \
  MAKE_ONE(suffix, T, In, 2) \
  MAKE_ONE(suffix, T, In, 4) \
  MAKE_ONE(suffix, T, In, 8)
MAKE(f16, __half, unsigned short)
MAKE(bf16, __nv_bfloat16, unsigned short)
MAKE(f32_f16, __half, float)
MAKE(f32_bf16, __nv_bfloat16, float)
