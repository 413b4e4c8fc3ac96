// Local response normalization: a thread makes one element and reads its neighbours' channels,
// which its neighbours read too.

#include "backend/cuda/kernels/common.cuh"
#include "backend/cuda/kernels/lrn.h"

using gacer::cuda::LrnArgs;

namespace {

template <typename T>
__device__ void lrn(T* y, const T* x, const LrnArgs& a) {
  const int plane = a.height * a.width;
  const long long total = a.images * a.channels * plane;
  for (long long i = blockIdx.x * 1LL * blockDim.x + threadIdx.x; i < total;
       i += 1LL * gridDim.x * blockDim.x) {
    const int inner = static_cast<int>(i % (1LL * a.channels * plane));
    const long long n = i / (1LL * a.channels * plane);
    const int c = a.is_channels_inner ? inner % a.channels : inner / plane;
    const int position = a.is_channels_inner ? inner / a.channels : inner % plane;
    const int h = position / a.width;
    const int w = position % a.width;
    const T* const column = x + n * a.x_n + h * a.x_h + w * a.x_w;
    float squares = 0;
    for (int other = max(c - a.before, 0); other <= min(c + a.after, a.channels - 1); ++other) {
      const float value = to_float(column[other * a.x_c]);
      squares += value * value;
    }
    const float divisor = powf(a.bias + a.scale * squares, a.beta);
    y[n * a.y_n + c * a.y_c + h * a.y_h + w * a.y_w] =
        from_float<T>(to_float(column[c * a.x_c]) / divisor);
  }
}

}  // namespace

#define MAKE(suffix, T) \
  GACER_KERNEL(lrn_##suffix, T* y, const T* x, LrnArgs a) { lrn<T>(y, x, a); }
GACER_FOR_FLOATS(MAKE)
