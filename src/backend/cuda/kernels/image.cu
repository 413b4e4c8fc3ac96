// Brings an image with few channels into channels-last memory padded with zeros, a thread a pixel
// of the result. With kFold 2, four neighbouring pixels become the channels of one: a convolution
// with stride 2 is then one with stride 1 and half the window.

#include "backend/cuda/kernels/common.cuh"

namespace {

template <typename T, int kFold, int kChannels>
__device__ void pad_channels(T* y, const T* x, int channels, long long images, int height,
                             int width, long long stride_n, long long stride_c, long long stride_h,
                             long long stride_w) {
  const int out_h = (height + kFold - 1) / kFold;
  const int out_w = (width + kFold - 1) / kFold;
  const long long total = images * out_h * out_w;
  for (long long i = blockIdx.x * 1LL * blockDim.x + threadIdx.x; i < total;
       i += 1LL * gridDim.x * blockDim.x) {
    const int w0 = static_cast<int>(i % out_w) * kFold;
    const int h0 = static_cast<int>(i / out_w % out_h) * kFold;
    const T* image = x + i / out_w / out_h * stride_n;
    Pack<T, 8> packs[kChannels / 8];
#pragma unroll
    for (int c = 0; c < kChannels; ++c) packs[c / 8].at[c % 8] = from_float<T>(0.0f);
    constexpr int kMaxOwn = kChannels / (kFold * kFold);
#pragma unroll
    for (int r = 0; r < kFold * kFold; ++r) {
      const int h = h0 + r / kFold;
      const int w = w0 + r % kFold;
      if (h >= height || w >= width) continue;
#pragma unroll
      for (int c = 0; c < kMaxOwn; ++c)
        if (c < channels)
          packs[(r * kMaxOwn + c) / 8].at[(r * kMaxOwn + c) % 8] =
              image[c * stride_c + h * stride_h + w * stride_w];
    }
#pragma unroll
    for (int p = 0; p < kChannels / 8; ++p)
      reinterpret_cast<Pack<T, 8>*>(y + i * kChannels)[p] = packs[p];
  }
}

}  // namespace

// pad_channels_8: at most 8 channels; fold_channels_16 and _32: at most 4 and 8.
#define MAKE_ONE(name, suffix, T, FOLD, CHANNELS)                                              \
  GACER_KERNEL(name##_##suffix, T* y, const T* x, int channels, long long images, int height,  \
               int width, long long stride_n, long long stride_c, long long stride_h,          \
               long long stride_w) {                                                           \
    pad_channels<T, FOLD, CHANNELS>(y, x, channels, images, height, width, stride_n, stride_c, \
                                    stride_h, stride_w);                                       \
  }
#define MAKE(suffix, T)                        \
  MAKE_ONE(pad_channels_8, suffix, T, 1, 8)    \
  MAKE_ONE(fold_channels_16, suffix, T, 2, 16) \
  MAKE_ONE(fold_channels_32, suffix, T, 2, 32)
GACER_FOR_FLOATS(MAKE)
