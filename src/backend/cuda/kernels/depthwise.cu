// Depthwise convolution of channels-last images: a thread makes kTile neighbouring outputs of one
// row for V channels, so each input is read about kernel_w / stride times fewer. Weights are packed
// as [kernel_h][kernel_w][channels] in f32.

#include "backend/cuda/kernels/common.cuh"
#include "backend/cuda/kernels/pool.h"

using gacer::cuda::kDepthwiseThreads;
using gacer::cuda::WindowArgs;
using gacer::cuda::WindowSplit;

namespace {

/// V neighbouring numbers, of none zeros.
template <int V>
__device__ Pack<float, V> load_floats(const float* from) {
  if (from != nullptr) return *reinterpret_cast<const Pack<float, V>*>(from);
  return {};
}

/// Adds the window's products. Windows that leave the image need kIsInside to be false: what lies
/// outside is not read and counts as zero, without branches inside a row, so that its reads are
/// under way at once (those of the window, where that takes not too much code).
template <bool kIsInside, typename T, int V, int kTile, int K, int S>
__device__ void add_window(float (&acc)[kTile][V], const T* image, const float* weight, int h0,
                           int w0, const WindowArgs& a) {
  constexpr int kSpan = (kTile - 1) * S + K;
  constexpr int kUnroll = (kIsInside || K == 3) && K * V <= 24 ? K : 1;
#pragma unroll kUnroll
  for (int kh = 0; kh < K; ++kh) {
    const int h = h0 + kh;
    if (!kIsInside && (h < 0 || h >= a.in_h)) continue;
    const T* const row = image + h * a.x_h + w0 * a.x_w;
    Pack<float, V> w[K];
#pragma unroll
    for (int kw = 0; kw < K; ++kw) w[kw] = load_floats<V>(weight + (kh * K + kw) * a.channels);
#pragma unroll
    for (int s = 0; s < kSpan; ++s) {
      Pack<T, V> pack;
#pragma unroll
      for (int v = 0; v < V; ++v) pack.at[v] = from_float<T>(0.0f);
      if (kIsInside || (w0 + s >= 0 && w0 + s < a.in_w))
        pack = *reinterpret_cast<const Pack<T, V>*>(row + s * a.x_w);
#pragma unroll
      for (int t = 0; t < kTile; ++t) {
        const int kw = s - t * S;
        if (kw < 0 || kw >= K) continue;
#pragma unroll
        for (int v = 0; v < V; ++v) acc[t][v] += to_float(pack.at[v]) * w[kw].at[v];
      }
    }
  }
}

template <typename T, int V, int kTile, typename F>
__device__ void write(T* y, const float (&acc)[kTile][V], int count, const WindowArgs& a, F f) {
#pragma unroll
  for (int t = 0; t < kTile; ++t) {
    if (t >= count) break;
    float values[V];
#pragma unroll
    for (int v = 0; v < V; ++v) values[v] = f(acc[t][v]);
    store_rounded(y + t * a.y_w, values);
  }
}

/// Windows of K by K without gaps and with stride S, for results of less than 2^31 tiles and packs.
template <typename T, int V, int kTile, int K, int S>
__device__ void depthwise(T* y, const T* x, const float* weight, const float* bias,
                          const WindowArgs& a, const WindowSplit& by) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const int place = divide(i, by.packs);
  const int c = (i - place * by.packs.value) * V;
  const int line = divide(place, by.tiles);
  const int ow0 = (place - line * by.tiles.value) * kTile;
  const int n = divide(line, by.rows);
  const int oh = line - n * a.out_h;
  if (n >= a.batch) return;

  float acc[kTile][V];
  const Pack<float, V> start = load_floats<V>(bias != nullptr ? bias + c : nullptr);
#pragma unroll
  for (int t = 0; t < kTile; ++t)
#pragma unroll
    for (int v = 0; v < V; ++v) acc[t][v] = start.at[v];

  const T* const image = x + n * a.x_n + c;
  const int h0 = oh * S - a.pad_h;
  const int w0 = ow0 * S - a.pad_w;
  if (h0 >= 0 && h0 + K <= a.in_h && w0 >= 0 && w0 + (kTile - 1) * S + K <= a.in_w)
    add_window<true, T, V, kTile, K, S>(acc, image, weight + c, h0, w0, a);
  else
    add_window<false, T, V, kTile, K, S>(acc, image, weight + c, h0, w0, a);

  T* const to = y + n * a.y_n + c + oh * a.y_h + ow0 * a.y_w;
  const int count = a.out_w - ow0;
  // One copy of the end for each common activation, without a choice at every element.
  if (a.activation == kIdentity)
    write<T, V, kTile>(to, acc, count, a, [](float value) { return value; });
  else if (a.activation == kRelu)
    write<T, V, kTile>(to, acc, count, a, [](float value) { return relu(value); });
  else if (a.activation == kHardSwish)
    write<T, V, kTile>(to, acc, count, a, [](float value) {
      return value * fmaxf(0.0f, fminf(1.0f, value * (1.0f / 6.0f) + 0.5f));
    });
  else
    write<T, V, kTile>(to, acc, count, a, [&](float value) {
      return activate_by_call(a.activation, value, a.alpha, a.beta);
    });
}

/// Any window.
template <typename T, int V>
__device__ void depthwise_any(T* y, const T* x, const float* weight, const float* bias,
                              const WindowArgs& a) {
  const int packs = a.channels / V;
  const long long total = 1LL * a.batch * a.out_h * a.out_w * packs;
  for (long long i = blockIdx.x * 1LL * blockDim.x + threadIdx.x; i < total;
       i += 1LL * gridDim.x * blockDim.x) {
    long long rest = i;
    const int c = rest % packs * V;
    rest /= packs;
    const int ow = rest % a.out_w;
    rest /= a.out_w;
    const int oh = rest % a.out_h;
    rest /= a.out_h;
    const T* image = x + rest * a.x_n + c;
    Pack<float, V> acc = load_floats<V>(bias != nullptr ? bias + c : nullptr);
    for (int kh = 0; kh < a.kernel_h; ++kh) {
      const int h = oh * a.stride_h - a.pad_h + kh * a.dilation_h;
      if (h < 0 || h >= a.in_h) continue;
      for (int kw = 0; kw < a.kernel_w; ++kw) {
        const int w = ow * a.stride_w - a.pad_w + kw * a.dilation_w;
        if (w < 0 || w >= a.in_w) continue;
        const Pack<T, V> pack = *reinterpret_cast<const Pack<T, V>*>(image + h * a.x_h + w * a.x_w);
        const float* const taps = weight + (kh * a.kernel_w + kw) * a.channels + c;
        for (int v = 0; v < V; ++v) acc.at[v] += to_float(pack.at[v]) * taps[v];
      }
    }
    for (int v = 0; v < V; ++v) acc.at[v] = activate_many(a.activation, acc.at[v], a.alpha, a.beta);
    store_rounded(y + rest * a.y_n + c + oh * a.y_h + ow * a.y_w, acc.at);
  }
}

}  // namespace

// Few blocks a multiprocessor leave the registers for all loads of a window to be under way at
// once; with more of them each warp would wait for its loads one after the other.
constexpr int kBlocks = 4;
constexpr int kWideBlocks = 3;

// Names: depthwise_k<kernel>s<stride>t<tile>_<type>, with "w" after the tile for packs of 16 bytes
// instead of 8, and depthwise_any_<type>. Narrow packs leave more threads for the small images of a
// mobile network, wide ones take fewer instructions. Tiles pay where the arithmetic is cheap beside
// the loads.
#define MAKE_WINDOW(suffix, T, K, S, TILE)                                                    \
  GACER_KERNEL_OF(kDepthwiseThreads, kBlocks, depthwise_k##K##s##S##t##TILE##_##suffix, T* y, \
                  const T* x, const float* weight, const float* bias, WindowArgs a,           \
                  WindowSplit by) {                                                           \
    depthwise<T, 8 / sizeof(T), TILE, K, S>(y, x, weight, bias, a, by);                       \
  }
#define MAKE_WIDE(suffix, T, K, S, TILE)                                                           \
  GACER_KERNEL_OF(kDepthwiseThreads, kWideBlocks, depthwise_k##K##s##S##t##TILE##w_##suffix, T* y, \
                  const T* x, const float* weight, const float* bias, WindowArgs a,                \
                  WindowSplit by) {                                                                \
    depthwise<T, 16 / sizeof(T), TILE, K, S>(y, x, weight, bias, a, by);                           \
  }
#define MAKE(suffix, T)                                                                          \
  GACER_KERNEL(depthwise_any_##suffix, T* y, const T* x, const float* weight, const float* bias, \
               WindowArgs a, WindowSplit) {                                                      \
    depthwise_any<T, 8 / sizeof(T)>(y, x, weight, bias, a);                                      \
  }                                                                                              \
  MAKE_WINDOW(suffix, T, 3, 1, 1)                                                                \
  MAKE_WINDOW(suffix, T, 3, 2, 1)                                                                \
  MAKE_WINDOW(suffix, T, 5, 1, 1)                                                                \
  MAKE_WINDOW(suffix, T, 5, 2, 1)                                                                \
  MAKE_WINDOW(suffix, T, 3, 1, 4)                                                                \
  MAKE_WINDOW(suffix, T, 3, 2, 2)                                                                \
  MAKE_WINDOW(suffix, T, 5, 1, 4)                                                                \
  MAKE_WINDOW(suffix, T, 5, 2, 2)
GACER_FOR_FLOATS(MAKE)
#define MAKE_WIDES(suffix, T)   \
  MAKE_WIDE(suffix, T, 3, 1, 4) \
  MAKE_WIDE(suffix, T, 3, 2, 2) \
  MAKE_WIDE(suffix, T, 5, 1, 4) \
  MAKE_WIDE(suffix, T, 5, 2, 2)
MAKE_WIDES(f16, __half)
MAKE_WIDES(bf16, __nv_bfloat16)
