// Max and average pooling over strided 2-D images. A thread makes V neighbouring channels of one
// output position; without vectors the innermost axis may be the width instead. Small windows are
// unrolled: all their loads are under way at once.

#include "backend/cuda/kernels/common.cuh"
#include "backend/cuda/kernels/pool.h"

using gacer::cuda::WindowArgs;
using gacer::cuda::WindowSplit;

namespace {

template <typename T, int V, bool kIsMax>
__device__ void pool(T* y, const T* x, const WindowArgs& a, bool channels_inner) {
  const int packs = a.channels / V;
  const long long total = 1LL * a.batch * packs * a.out_h * a.out_w;
  for (long long i = blockIdx.x * 1LL * blockDim.x + threadIdx.x; i < total;
       i += 1LL * gridDim.x * blockDim.x) {
    long long rest = i;
    int c, ow, oh;
    if (channels_inner) {
      c = rest % packs * V;
      rest /= packs;
      ow = rest % a.out_w;
      rest /= a.out_w;
      oh = rest % a.out_h;
      rest /= a.out_h;
    } else {
      ow = rest % a.out_w;
      rest /= a.out_w;
      oh = rest % a.out_h;
      rest /= a.out_h;
      c = rest % packs * V;
      rest /= packs;
    }
    const T* image = x + rest * a.x_n + c * a.x_c;
    const int h0 = oh * a.stride_h - a.pad_h;
    const int w0 = ow * a.stride_w - a.pad_w;
    float acc[V];
    for (int v = 0; v < V; ++v) acc[v] = kIsMax ? Max::start() : 0.0f;
    int count = 0;
    for (int kh = 0; kh < a.kernel_h; ++kh) {
      const int h = h0 + kh * a.dilation_h;
      if (h < -a.pad_h || h >= a.padded_end_h) continue;
      for (int kw = 0; kw < a.kernel_w; ++kw) {
        const int w = w0 + kw * a.dilation_w;
        if (w >= a.padded_end_w) continue;
        const bool inside = h >= 0 && h < a.in_h && w >= 0 && w < a.in_w;
        if (inside || a.count_include_pad) ++count;
        if (!inside) continue;
        const Pack<T, V> pack = *reinterpret_cast<const Pack<T, V>*>(image + h * a.x_h + w * a.x_w);
        for (int v = 0; v < V; ++v) {
          const float value = to_float(pack.at[v]);
          acc[v] = kIsMax ? Max::merge(acc[v], value) : acc[v] + value;
        }
      }
    }
    if (!kIsMax)
      for (int v = 0; v < V; ++v) acc[v] /= static_cast<float>(max(count, 1));
    store_rounded(y + rest * a.y_n + c * a.y_c + oh * a.y_h + ow * a.y_w, acc);
  }
}

/// The same for windows of K by K without gaps on images with neighbouring channels, when the
/// result has less than 2^31 packs, each a thread.
template <typename T, int V, bool kIsMax, int K>
__device__ void pool_small(T* y, const T* x, const WindowArgs& a, const WindowSplit& by) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const int place = divide(i, by.packs);
  const int c = (i - place * by.packs.value) * V;
  const int line = divide(place, by.tiles);
  const int ow = place - line * a.out_w;
  const int n = divide(line, by.rows);
  const int oh = line - n * a.out_h;
  if (n >= a.batch) return;
  const T* image = x + n * a.x_n + c;
  const int h0 = oh * a.stride_h - a.pad_h;
  const int w0 = ow * a.stride_w - a.pad_w;
  Pack<T, V> packs_read[K][K];
#pragma unroll
  for (int kh = 0; kh < K; ++kh) {
    // What lies outside is read from the border and not used.
    const T* row = image + min(max(h0 + kh, 0), a.in_h - 1) * a.x_h;
#pragma unroll
    for (int kw = 0; kw < K; ++kw)
      packs_read[kh][kw] =
          *reinterpret_cast<const Pack<T, V>*>(row + min(max(w0 + kw, 0), a.in_w - 1) * a.x_w);
  }
  float acc[V];
#pragma unroll
  for (int v = 0; v < V; ++v) acc[v] = kIsMax ? Max::start() : 0.0f;
  int count = 0;
#pragma unroll
  for (int kh = 0; kh < K; ++kh) {
    const int h = h0 + kh;
#pragma unroll
    for (int kw = 0; kw < K; ++kw) {
      const int w = w0 + kw;
      const bool inside = h >= 0 && h < a.in_h && w >= 0 && w < a.in_w;
      if (inside || (a.count_include_pad && h < a.padded_end_h && w < a.padded_end_w)) ++count;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const float value = to_float(packs_read[kh][kw].at[v]);
        if (inside) acc[v] = kIsMax ? Max::merge(acc[v], value) : acc[v] + value;
      }
    }
  }
  if (!kIsMax)
#pragma unroll
    for (int v = 0; v < V; ++v) acc[v] /= static_cast<float>(max(count, 1));
  store_rounded(y + n * a.y_n + c + oh * a.y_h + ow * a.y_w, acc);
}

}  // namespace

#define MAKE_SMALL(suffix, T, K)                                                                  \
  GACER_KERNEL(max_pool_k##K##_##suffix, T* y, const T* x, WindowArgs a, bool, WindowSplit by) {  \
    pool_small<T, 16 / sizeof(T), true, K>(y, x, a, by);                                          \
  }                                                                                               \
  GACER_KERNEL(mean_pool_k##K##_##suffix, T* y, const T* x, WindowArgs a, bool, WindowSplit by) { \
    pool_small<T, 16 / sizeof(T), false, K>(y, x, a, by);                                         \
  }

#define MAKE(suffix, T)                                                                       \
  GACER_KERNEL(max_pool_##suffix, T* y, const T* x, WindowArgs a, bool inner, WindowSplit) {  \
    pool<T, 1, true>(y, x, a, inner);                                                         \
  }                                                                                           \
  GACER_KERNEL(mean_pool_##suffix, T* y, const T* x, WindowArgs a, bool inner, WindowSplit) { \
    pool<T, 1, false>(y, x, a, inner);                                                        \
  }                                                                                           \
  GACER_KERNEL(max_pool_vec_##suffix, T* y, const T* x, WindowArgs a, bool, WindowSplit) {    \
    pool<T, 16 / sizeof(T), true>(y, x, a, true);                                             \
  }                                                                                           \
  GACER_KERNEL(mean_pool_vec_##suffix, T* y, const T* x, WindowArgs a, bool, WindowSplit) {   \
    pool<T, 16 / sizeof(T), false>(y, x, a, true);                                            \
  }                                                                                           \
  MAKE_SMALL(suffix, T, 2)                                                                    \
  MAKE_SMALL(suffix, T, 3)
GACER_FOR_FLOATS(MAKE)
