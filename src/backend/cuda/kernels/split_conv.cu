// Convolutions with little to do for so many multiprocessors, by tensor cores: a block makes a
// small tile of the result and its warps share the window's taps and channels, so that long sums
// over few pixels still occupy the device, in one launch. Threads load their operands from the
// image and from packed weights without shared memory (see mma.cuh); their sums meet there. The
// blocks of a cluster share the sum, too, so that larger tiles, which load less, occupy as much.
// Filters are the tall operand, pixels the narrow one. A prologue scales and shifts channels as
// they come.

#include "backend/cuda/kernels/cluster.cuh"
#include "backend/cuda/kernels/common.cuh"
#include "backend/cuda/kernels/mma.cuh"
#include "backend/cuda/kernels/split_conv.h"
#include "backend/cuda/kernels/tiles.h"

using gacer::cuda::kAddOperand;
using gacer::cuda::kChunk;
using gacer::cuda::kChunksAtOnce;
using gacer::cuda::kNoOperand;
using gacer::cuda::kSplitConvMaxCluster;
using gacer::cuda::most_warps;
using gacer::cuda::SplitConvArgs;

namespace {

template <typename T>
struct PairOf;
template <>
struct PairOf<__half> {
  using type = __half2;
};
template <>
struct PairOf<__nv_bfloat16> {
  using type = __nv_bfloat162;
};

/// x * scale + shift of eight elements, or `least` where that is larger; outside the image zero.
template <typename T>
__device__ uint4 apply_prologue(uint4 x, uint4 scale, uint4 shift, typename PairOf<T>::type least,
                                bool is_inside) {
  using Pair = typename PairOf<T>::type;
  uint4 result;
  const unsigned* const in = reinterpret_cast<const unsigned*>(&x);
  const unsigned* const scales = reinterpret_cast<const unsigned*>(&scale);
  const unsigned* const shifts = reinterpret_cast<const unsigned*>(&shift);
  unsigned* const out = reinterpret_cast<unsigned*>(&result);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    Pair value =
        __hfma2(*reinterpret_cast<const Pair*>(in + i), *reinterpret_cast<const Pair*>(scales + i),
                *reinterpret_cast<const Pair*>(shifts + i));
    value = __hmax2_nan(value, least);
    out[i] = is_inside ? *reinterpret_cast<const unsigned*>(&value) : 0;
  }
  return result;
}

/// A cluster along z makes 16 * kTiles filters of 8 * kGroups pixels.
template <typename T, int kTiles, int kGroups, bool kHasPrologue>
__device__ void split_conv(T* y, const T* x, const uint4* weights, const float* bias,
                           const T* operand, const T* affine, const SplitConvArgs& a) {
  float4* const shared = shared_memory<float4>();
  float* const parts = reinterpret_cast<float*>(shared);
  constexpr int kWide = 16 * kTiles;
  constexpr int kPitch = kWide + 4;
  constexpr int kPixels = 8 * kGroups;
  constexpr int kUnroll = kChunksAtOnce<kTiles, kGroups, kHasPrologue>;
  const int warps = blockDim.x / 32;
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  const int lane_channel = lane % 4 * 8;
  const int pixel0 = blockIdx.x * kPixels;
  const int tile0 = blockIdx.y * kTiles;
  const int rank = blockIdx.z;
  const int ranks = gridDim.z;
  const int sharers = warps * ranks;
  const int all_tiles = (a.filters + 15) / 16;

  int base[kGroups];  // where the window of a pixel begins
  int h0[kGroups];
  int w0[kGroups];
#pragma unroll
  for (int group = 0; group < kGroups; ++group) {
    const int pixel = pixel0 + group * 8 + lane / 4;
    const int row = divide(pixel, a.out_w);
    const int image = divide(row, a.out_h);
    const int h = (row - image * a.out_h.value) * a.stride_h - a.pad_h;
    w0[group] = (pixel - row * a.out_w.value) * a.stride_w - a.pad_w;
    base[group] = image * a.x_n + h * a.x_h + w0[group] * a.x_w;
    // Beyond the last pixel nothing is inside the image.
    h0[group] = pixel < a.pixels ? h : -(1 << 30);
  }

  typename PairOf<T>::type least;  // of the prologue's results
  least.x = from_float<T>(a.has_relu != 0 ? 0.0f : -INFINITY);
  least.y = least.x;
  float sums[kTiles][kGroups][4] = {};
  for (int begin = rank * warps + warp; begin < a.chunks; begin += sharers * kUnroll) {
    uint4 filters[kUnroll][kTiles][2];
    uint4 inputs[kUnroll][kGroups];
    uint4 scale[kUnroll];  // of the prologue
    uint4 shift[kUnroll];
    unsigned inside = 0;  // a bit for each of the inputs
    static_assert(kUnroll * kGroups <= 32);
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int chunk = begin + u * sharers;
      const bool is_live = chunk < a.chunks;
      const int tap = divide(chunk, a.chunks_per_tap);
      const int channel = (chunk - tap * a.chunks_per_tap.value) * kChunk + lane_channel;
      const int tap_row = divide(tap, a.kernel_w);
      const int dh = tap_row * a.dilation_h;
      const int dw = (tap - tap_row * a.kernel_w.value) * a.dilation_w;
      const int offset = dh * a.x_h + dw * a.x_w + channel;
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int at = ((tile0 + tile) * a.chunks + chunk) * 2 + half;
          filters[u][tile][half] =
              load_wide(weights + at * 32 + lane, is_live && tile0 + tile < all_tiles);
        }
      const bool has_channel = is_live && channel < a.channels;
      if (kHasPrologue) {
        scale[u] = load_wide(affine + channel, has_channel);
        shift[u] = load_wide(affine + a.channels + channel, has_channel);
      }
#pragma unroll
      for (int group = 0; group < kGroups; ++group) {
        const bool is_inside = has_channel && static_cast<unsigned>(h0[group] + dh) < a.in_h &&
                               static_cast<unsigned>(w0[group] + dw) < a.in_w;
        inputs[u][group] = load_wide(x + (base[group] + offset), is_inside);
        inside |= static_cast<unsigned>(is_inside) << (u * kGroups + group);
      }
    }
    // After all loads: what waits for one of them holds up those behind it.
    if (kHasPrologue)
#pragma unroll
      for (int u = 0; u < kUnroll; ++u)
#pragma unroll
        for (int group = 0; group < kGroups; ++group)
          inputs[u][group] = apply_prologue<T>(inputs[u][group], scale[u], shift[u], least,
                                               inside >> (u * kGroups + group) & 1);
#pragma unroll
    for (int u = 0; u < kUnroll; ++u)
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
        for (int group = 0; group < kGroups; ++group)
          multiply_chunk<T>(sums[tile][group], filters[u][tile][0], filters[u][tile][1],
                            inputs[u][group]);
  }

  float* const own = parts + warp * kPixels * kPitch;
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
    for (int group = 0; group < kGroups; ++group)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        own[(group * 8 + lane % 4 * 2 + i % 2) * kPitch + tile * 16 + i / 2 * 8 + lane / 4] =
            sums[tile][group][i];
  __syncthreads();

  constexpr int kRuns = kWide / 4;  // of four filters
  constexpr int kAll = kPixels * kRuns;
  const auto sum_of_warps = [&](int i) {
    const float4* const part = shared + (i / kRuns * kPitch + i % kRuns * 4) / 4;
    float4 sum = part[0];
    for (int from = 1; from < warps; ++from) add_to(sum, part[from * (kPixels * kPitch / 4)]);
    return sum;
  };
  if (ranks > 1) {
    for (int i = threadIdx.x; i < kAll; i += blockDim.x)
      shared[(i / kRuns * kPitch + i % kRuns * 4) / 4] = sum_of_warps(i);
    sync_cluster();
  }
  for (int i = rank * blockDim.x + threadIdx.x; i < kAll; i += ranks * blockDim.x) {
    const int pixel = i / kRuns;
    const int run = i % kRuns * 4;
    const int filter = tile0 * 16 + run;
    if (pixel0 + pixel >= a.pixels || filter >= a.filters) continue;
    float4 sum;
    if (ranks > 1) {
      sum = sum_of_ranks<kSplitConvMaxCluster>(shared + (pixel * kPitch + run) / 4, ranks);
    } else {
      sum = sum_of_warps(i);
    }
    float values[4] = {sum.x, sum.y, sum.z, sum.w};
    Pack<T, 4> second;
    if (a.operand_kind != kNoOperand)
      second = *reinterpret_cast<const Pack<T, 4>*>(
          operand + static_cast<long long>(pixel0 + pixel) * a.operand_w + filter);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      float value = values[j];
      if (bias != nullptr) value += bias[filter + j];
      if (a.operand_kind != kNoOperand) {
        const float other = to_float(second.at[j]);
        value = a.operand_kind == kAddOperand ? value + other : value * other;
      }
      values[j] = activate_many(a.activation, value, a.alpha, a.beta);
    }
    store_rounded(y + static_cast<long long>(pixel0 + pixel) * a.y_w + filter, values);
  }
  // Nobody leaves while others read its sums.
  if (ranks > 1) sync_cluster();
}

}  // namespace

// That one block of a multiprocessor is enough lets the compiler begin all loads of a turn before
// the first product. Otherwise it saves registers: it begins few, waits for them, begins others.
#define MAKE_KERNEL(name, T, tiles, groups, has_prologue)                                     \
  GACER_KERNEL_OF(32 * most_warps(tiles, groups), 1, name, T * y, const T* x,                 \
                  const uint4* weights, const float* bias, const T* operand, const T* affine, \
                  SplitConvArgs a) {                                                          \
    split_conv<T, tiles, groups, has_prologue>(y, x, weights, bias, operand, affine, a);      \
  }
#define MAKE_ONE(suffix, T, tiles, groups)                                        \
  MAKE_KERNEL(split_conv_t##tiles##g##groups##_##suffix, T, tiles, groups, false) \
  MAKE_KERNEL(split_affine_conv_t##tiles##g##groups##_##suffix, T, tiles, groups, true)
#define MAKE(suffix, T)     \
  MAKE_ONE(suffix, T, 1, 1) \
  MAKE_ONE(suffix, T, 1, 2) \
  MAKE_ONE(suffix, T, 1, 4) \
  MAKE_ONE(suffix, T, 1, 8) \
  MAKE_ONE(suffix, T, 2, 1) \
  MAKE_ONE(suffix, T, 2, 2) \
  MAKE_ONE(suffix, T, 2, 4) \
  MAKE_ONE(suffix, T, 2, 8) \
  MAKE_ONE(suffix, T, 4, 1) \
  MAKE_ONE(suffix, T, 4, 2) \
  MAKE_ONE(suffix, T, 4, 4) \
  MAKE_ONE(suffix, T, 4, 8)
MAKE(f16, __half)
MAKE(bf16, __nv_bfloat16)
