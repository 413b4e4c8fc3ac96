// Brings an image with few channels into channels-last memory padded with zeros to 8 channels: a
// thread a pixel, one or two wide stores.

#include "common.cuh"

namespace {

template <typename T>
__device__ void pad_channels(T* y, const T* x, int channels, long long images, long long pixels,
                             long long stride_n, long long stride_c, long long stride_pixel) {
  const long long total = images * pixels;
  for (long long i = blockIdx.x * 1LL * blockDim.x + threadIdx.x; i < total;
       i += 1LL * gridDim.x * blockDim.x) {
    const T* from = x + i / pixels * stride_n + i % pixels * stride_pixel;
    Pack<T, 8> pack;
#pragma unroll
    for (int c = 0; c < 8; ++c)
      pack.at[c] = c < channels ? from[c * stride_c] : from_float<T>(0.0f);
    *reinterpret_cast<Pack<T, 8>*>(y + i * 8) = pack;
  }
}

}  // namespace

#define MAKE(suffix, T)                                                                       \
  extern "C" __global__ void pad_channels_##suffix(                                           \
      T* y, const T* x, int channels, long long images, long long pixels, long long stride_n, \
      long long stride_c, long long stride_pixel) {                                           \
    pad_channels<T>(y, x, channels, images, pixels, stride_n, stride_c, stride_pixel);        \
  }
GACER_FOR_FLOATS(MAKE)
