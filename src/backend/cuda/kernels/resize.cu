// Resizing of images: a thread makes V neighbouring channels of one output position from the input
// positions that the axes' tables name.

#include "backend/cuda/kernels/common.cuh"
#include "backend/cuda/kernels/resize.h"

using gacer::cuda::ResizeArgs;

namespace {

/// Tables of all axes, depth first: [out * taps] each.
template <typename T, int V, typename Index>
__device__ void resize_images(T* y, const T* x, const int* index, const float* weight,
                              const ResizeArgs& a) {
  const int begin_h = a.out_d * a.taps_d;
  const int begin_w = begin_h + a.out_h * a.taps_h;
  const bool is_copy = a.taps_d * a.taps_h * a.taps_w == 1;
  const Index packs = a.channels / V;
  const Index plane = static_cast<Index>(a.out_d) * a.out_h * a.out_w;
  const Index total = static_cast<Index>(a.images) * packs * plane;
  for (Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; i < total;
       i += static_cast<Index>(gridDim.x) * blockDim.x) {
    const Index outer = a.is_channels_inner ? i / packs : i;
    const Index position = outer % plane;
    const Index rest = outer / plane;
    const int c = static_cast<int>(a.is_channels_inner ? i % packs : rest % packs) * V;
    const long long n = a.is_channels_inner ? rest : rest / packs;
    const int ow = static_cast<int>(position % a.out_w);
    const int oh = static_cast<int>(position / a.out_w % a.out_h);
    const int od = static_cast<int>(position / a.out_w / a.out_h);
    const int* const at_d = index + od * a.taps_d;
    const int* const at_h = index + begin_h + oh * a.taps_h;
    const int* const at_w = index + begin_w + ow * a.taps_w;
    const T* const image = x + n * a.x_n + c * a.x_c;
    Pack<T, V> result;
    if (at_d[0] < 0 || at_h[0] < 0 || at_w[0] < 0) {
      for (int v = 0; v < V; ++v) result.at[v] = from_float<T>(a.outside);
    } else if (is_copy) {
      result = *reinterpret_cast<const Pack<T, V>*>(image + at_d[0] * a.x_d + at_h[0] * a.x_h +
                                                    at_w[0] * a.x_w);
    } else {
      float sums[V] = {};
      for (int d = 0; d < a.taps_d; ++d)
        for (int h = 0; h < a.taps_h; ++h) {
          const T* const row = image + at_d[d] * a.x_d + at_h[h] * a.x_h;
          const float row_weight = weight[od * a.taps_d + d] * weight[begin_h + oh * a.taps_h + h];
          for (int w = 0; w < a.taps_w; ++w) {
            const float tap = row_weight * weight[begin_w + ow * a.taps_w + w];
            const Pack<T, V> pack = *reinterpret_cast<const Pack<T, V>*>(row + at_w[w] * a.x_w);
            for (int v = 0; v < V; ++v) sums[v] += tap * to_float(pack.at[v]);
          }
        }
      for (int v = 0; v < V; ++v) result.at[v] = from_float<T>(sums[v]);
    }
    *reinterpret_cast<Pack<T, V>*>(y + n * a.y_n + c * a.y_c + od * a.y_d + oh * a.y_h +
                                   ow * a.y_w) = result;
  }
}

}  // namespace

// resize_<type> takes any image, resize_vec_<type> neighbouring channels in pieces of 16 bytes;
// _far counts in 64 bits.
#define MAKE_ONE(name, T, V, INDEX)                                                           \
  GACER_KERNEL(name, T* y, const T* x, const int* index, const float* weight, ResizeArgs a) { \
    resize_images<T, V, INDEX>(y, x, index, weight, a);                                       \
  }
#define MAKE(suffix, T)                                      \
  MAKE_ONE(resize_##suffix, T, 1, unsigned)                  \
  MAKE_ONE(resize_far_##suffix, T, 1, unsigned long long)    \
  MAKE_ONE(resize_vec_##suffix, T, 16 / sizeof(T), unsigned) \
  MAKE_ONE(resize_vec_far_##suffix, T, 16 / sizeof(T), unsigned long long)
GACER_FOR_FLOATS(MAKE)
