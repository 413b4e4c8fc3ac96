// Depthwise convolution of channels-last images: a thread makes kTile neighbouring outputs of one
// row for V channels, so each input is read about kernel_w / stride times fewer. Weights are packed
// as [kernel_h][kernel_w][channels] in f32.

#include "backend/cuda/kernels/common.cuh"
#include "backend/cuda/kernels/pool.h"

using gacer::cuda::WindowArgs;

namespace {

template <typename T, int V, int kTile, int K, int S>
__device__ void depthwise(T* y, const T* x, const float* weight, const float* bias,
                          const WindowArgs& a) {
  constexpr bool kIsFixed = K > 0;
  const int kernel_h = kIsFixed ? K : a.kernel_h;
  const int kernel_w = kIsFixed ? K : a.kernel_w;
  const int stride_w = kIsFixed ? S : a.stride_w;
  const int dilation_w = kIsFixed ? 1 : a.dilation_w;
  const int packs = a.channels / V;
  const int tiles = (a.out_w + kTile - 1) / kTile;
  const long long total = 1LL * a.batch * a.out_h * tiles * packs;
  for (long long i = blockIdx.x * 1LL * blockDim.x + threadIdx.x; i < total;
       i += 1LL * gridDim.x * blockDim.x) {
    long long rest = i;
    const int c = rest % packs * V;
    rest /= packs;
    const int ow0 = rest % tiles * kTile;
    rest /= tiles;
    const int oh = rest % a.out_h;
    rest /= a.out_h;
    const T* image = x + rest * a.x_n + c;
    float acc[kTile][V];
    for (int t = 0; t < kTile; ++t)
      for (int v = 0; v < V; ++v) acc[t][v] = bias != nullptr ? bias[c + v] : 0.0f;
#pragma unroll 1
    for (int kh = 0; kh < kernel_h; ++kh) {
      const int h = oh * a.stride_h - a.pad_h + kh * a.dilation_h;
      if (h < 0 || h >= a.in_h) continue;
      const T* row = image + h * a.x_h;
      if constexpr (kIsFixed) {
        constexpr int kSpan = (kTile - 1) * S + K;
        float w[K][V];
#pragma unroll
        for (int kw = 0; kw < K; ++kw)
#pragma unroll
          for (int v = 0; v < V; ++v) w[kw][v] = weight[(kh * K + kw) * a.channels + c + v];
#pragma unroll
        for (int s = 0; s < kSpan; ++s) {
          const int col = ow0 * S - a.pad_w + s;
          if (col < 0 || col >= a.in_w) continue;
          const Pack<T, V> pack = *reinterpret_cast<const Pack<T, V>*>(row + col * a.x_w);
#pragma unroll
          for (int t = 0; t < kTile; ++t) {
            const int kw = s - t * S;
            if (kw < 0 || kw >= K) continue;
#pragma unroll
            for (int v = 0; v < V; ++v) acc[t][v] += to_float(pack.at[v]) * w[kw][v];
          }
        }
      } else {
        for (int kw = 0; kw < kernel_w; ++kw)
          for (int t = 0; t < kTile; ++t) {
            const int col = (ow0 + t) * stride_w - a.pad_w + kw * dilation_w;
            if (col < 0 || col >= a.in_w) continue;
            const Pack<T, V> pack = *reinterpret_cast<const Pack<T, V>*>(row + col * a.x_w);
            for (int v = 0; v < V; ++v)
              acc[t][v] += to_float(pack.at[v]) * weight[(kh * kernel_w + kw) * a.channels + c + v];
          }
      }
    }
    for (int t = 0; t < kTile; ++t) {
      if (ow0 + t >= a.out_w) break;
      Pack<T, V> result;
      for (int v = 0; v < V; ++v)
        result.at[v] = from_float<T>(activate_many(a.activation, acc[t][v], a.alpha, a.beta));
      *reinterpret_cast<Pack<T, V>*>(y + rest * a.y_n + c + oh * a.y_h + (ow0 + t) * a.y_w) =
          result;
    }
  }
}

}  // namespace

// Names: depthwise_k<kernel>s<stride>t<tile>_<type>; k0 takes any window. Packs are 8 bytes of two
// or four channels: wider ones leave too few threads for the small images of a mobile network.
#define MAKE_WINDOW(suffix, T, K, S, TILE)                                      \
  extern "C" __global__ void depthwise_k##K##s##S##t##TILE##_##suffix(          \
      T* y, const T* x, const float* weight, const float* bias, WindowArgs a) { \
    depthwise<T, 8 / sizeof(T), TILE, K, S>(y, x, weight, bias, a);             \
  }
#define MAKE(suffix, T)           \
  MAKE_WINDOW(suffix, T, 0, 1, 1) \
  MAKE_WINDOW(suffix, T, 3, 1, 1) \
  MAKE_WINDOW(suffix, T, 3, 2, 1) \
  MAKE_WINDOW(suffix, T, 5, 1, 1) \
  MAKE_WINDOW(suffix, T, 5, 2, 1)
GACER_FOR_FLOATS(MAKE)
// Tiles pay where the arithmetic is cheap beside the loads.
#define MAKE_TILED(suffix, T)     \
  MAKE_WINDOW(suffix, T, 3, 1, 4) \
  MAKE_WINDOW(suffix, T, 3, 2, 2) \
  MAKE_WINDOW(suffix, T, 5, 1, 4) \
  MAKE_WINDOW(suffix, T, 5, 2, 2)
MAKE_TILED(f16, __half)
MAKE_TILED(bf16, __nv_bfloat16)
