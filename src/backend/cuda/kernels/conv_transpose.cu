// Transposed convolution. Two forms: "pixel", for any window, gathers what meets at one output
// position; "quad", for 2x2 windows that do not overlap, makes the four output positions of an
// input position, which then is read once. A thread makes V filters and reads X channels at a time.

#include "backend/cuda/kernels/common.cuh"
#include "backend/cuda/kernels/conv_transpose.h"

using gacer::cuda::ConvTransposeArgs;

namespace {

/// sums[v] += x · w over the channels of a group; `w` at the first filter of the first channel.
template <typename T, int V, int X>
__device__ void multiply(float (&sums)[V], const T* x, const float* w, const ConvTransposeArgs& a) {
  for (int c = 0; c < a.channels; c += X) {
    const Pack<T, X> pack = *reinterpret_cast<const Pack<T, X>*>(x + c * a.x_c);
#pragma unroll
    for (int i = 0; i < X; ++i) {
      const float value = to_float(pack.at[i]);
      const Pack<float, V> weights =
          *reinterpret_cast<const Pack<float, V>*>(w + static_cast<long long>(c + i) * a.filters);
#pragma unroll
      for (int v = 0; v < V; ++v) sums[v] += value * weights.at[v];
    }
  }
}

template <typename T, int V>
__device__ void store(T* y, const float (&sums)[V], const ConvTransposeArgs& a) {
  float values[V];
#pragma unroll
  for (int v = 0; v < V; ++v) values[v] = activate_many(a.activation, sums[v], a.alpha, a.beta);
  if (a.stores_packs) return store_rounded(y, values);
#pragma unroll
  for (int v = 0; v < V; ++v) y[v * a.y_c] = from_float<T>(values[v]);
}

/// Where a thread works: an image, a position of a plane and the first of its filters.
struct Place {
  long long image;
  int h, w, filter;
};
__device__ Place place_of(long long i, int packs, int height, int width, int vector,
                          bool is_channels_inner) {
  Place place;
  int pack;
  if (is_channels_inner) {
    pack = i % packs;
    i /= packs;
  }
  place.w = i % width;
  i /= width;
  place.h = i % height;
  i /= height;
  if (!is_channels_inner) {
    pack = i % packs;
    i /= packs;
  }
  place.image = i;
  place.filter = pack * vector;
  return place;
}

template <typename T, int V>
__device__ void begin_with_bias(float (&sums)[V], const float* bias, int filter) {
#pragma unroll
  for (int v = 0; v < V; ++v) sums[v] = bias != nullptr ? bias[filter + v] : 0.0f;
}

template <typename T, int V, int X>
__device__ void pixel(T* y, const T* x, const float* weight, const float* bias,
                      const ConvTransposeArgs& a) {
  const int packs = a.groups * a.filters / V;
  const long long total = 1LL * a.images * packs * a.out_h * a.out_w;
  for (long long i = blockIdx.x * 1LL * blockDim.x + threadIdx.x; i < total;
       i += 1LL * gridDim.x * blockDim.x) {
    const Place at = place_of(i, packs, a.out_h, a.out_w, V, a.y_c == 1);
    const int group = at.filter / a.filters;
    const long long channel = 1LL * group * a.channels;
    const T* const image = x + at.image * a.x_n + channel * a.x_c;
    const float* const own = weight + channel * a.filters + at.filter % a.filters;
    const long long tap_size = 1LL * a.groups * a.channels * a.filters;
    float sums[V];
    begin_with_bias<T>(sums, bias, at.filter);
    for (int kh = 0; kh < a.kernel_h; ++kh) {
      const int top = at.h + a.pad_h - kh * a.dilation_h;
      const int h = top / a.stride_h;
      if (top < 0 || h * a.stride_h != top || h >= a.in_h) continue;
      for (int kw = 0; kw < a.kernel_w; ++kw) {
        const int left = at.w + a.pad_w - kw * a.dilation_w;
        const int w = left / a.stride_w;
        if (left < 0 || w * a.stride_w != left || w >= a.in_w) continue;
        multiply<T, V, X>(sums, image + h * a.x_h + w * a.x_w,
                          own + (kh * a.kernel_w + kw) * tap_size, a);
      }
    }
    store<T, V>(y + at.image * a.y_n + at.filter * a.y_c + at.h * a.y_h + at.w * a.y_w, sums, a);
  }
}

/// Needs 2x2 windows, strides of 2, no dilation, and an input position for every output position.
template <typename T, int V, int X>
__device__ void quad(T* y, const T* x, const float* weight, const float* bias,
                     const ConvTransposeArgs& a) {
  const int packs = a.groups * a.filters / V;
  const long long total = 1LL * a.images * packs * a.in_h * a.in_w;
  for (long long i = blockIdx.x * 1LL * blockDim.x + threadIdx.x; i < total;
       i += 1LL * gridDim.x * blockDim.x) {
    const Place at = place_of(i, packs, a.in_h, a.in_w, V, a.y_c == 1);
    const int group = at.filter / a.filters;
    const long long channel = 1LL * group * a.channels;
    const T* const from = x + at.image * a.x_n + channel * a.x_c + at.h * a.x_h + at.w * a.x_w;
    const float* const own = weight + channel * a.filters + at.filter % a.filters;
    const long long tap_size = 1LL * a.groups * a.channels * a.filters;
    float sums[4][V];
#pragma unroll
    for (int tap = 0; tap < 4; ++tap) begin_with_bias<T>(sums[tap], bias, at.filter);
    for (int c = 0; c < a.channels; c += X) {
      const Pack<T, X> pack = *reinterpret_cast<const Pack<T, X>*>(from + c * a.x_c);
#pragma unroll
      for (int j = 0; j < X; ++j) {
        const float value = to_float(pack.at[j]);
#pragma unroll
        for (int tap = 0; tap < 4; ++tap) {
          const Pack<float, V> weights = *reinterpret_cast<const Pack<float, V>*>(
              own + tap * tap_size + static_cast<long long>(c + j) * a.filters);
#pragma unroll
          for (int v = 0; v < V; ++v) sums[tap][v] += value * weights.at[v];
        }
      }
    }
#pragma unroll
    for (int tap = 0; tap < 4; ++tap) {
      const int h = at.h * 2 - a.pad_h + tap / 2;
      const int w = at.w * 2 - a.pad_w + tap % 2;
      if (h < 0 || h >= a.out_h || w < 0 || w >= a.out_w) continue;
      store<T, V>(y + at.image * a.y_n + at.filter * a.y_c + h * a.y_h + w * a.y_w, sums[tap], a);
    }
  }
}

}  // namespace

// Names: conv_transpose_<form>_v<filters>x<channels>_<type>; channels a thread reads at a time are
// 1 or 16 bytes of them, written x1 and xp.
#define MAKE_ONE(form, suffix, T, V, X, XNAME)                                   \
  GACER_KERNEL(conv_transpose_##form##_v##V##XNAME##_##suffix, T* y, const T* x, \
               const float* weight, const float* bias, ConvTransposeArgs a) {    \
    form<T, V, X>(y, x, weight, bias, a);                                        \
  }
#define MAKE_FORM(form, suffix, T)                 \
  MAKE_ONE(form, suffix, T, 1, 1, x1)              \
  MAKE_ONE(form, suffix, T, 4, 1, x1)              \
  MAKE_ONE(form, suffix, T, 1, 16 / sizeof(T), xp) \
  MAKE_ONE(form, suffix, T, 4, 16 / sizeof(T), xp)
#define MAKE(suffix, T)       \
  MAKE_FORM(pixel, suffix, T) \
  MAKE_FORM(quad, suffix, T)
GACER_FOR_FLOATS(MAKE)
