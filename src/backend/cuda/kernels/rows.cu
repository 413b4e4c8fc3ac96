// Reductions, softmax and layer normalization.

#include "backend/cuda/kernels/common.cuh"
#include "backend/cuda/kernels/rows.h"

using gacer::cuda::kReduceColumns;

namespace {

enum ReduceCode { kReduceMean, kReduceSum, kReduceMax, kReduceMin };

/// x is [outer, length, inner] with inner innermost: y[outer, inner]. Threads of a block: x over
/// inner, y over length.
template <typename T>
__device__ void reduce_middle(T* y, const T* x, long long outer, int length, int inner, int code) {
  __shared__ float parts[1024];
  const int column = blockIdx.x * blockDim.x + threadIdx.x;
  const bool is_sum = code == kReduceMean || code == kReduceSum;
  const float sign = code == kReduceMin ? -1.0f : 1.0f;
  for (long long o = blockIdx.y; o < outer; o += gridDim.y) {
    float acc = is_sum ? 0.0f : Max::start();
    if (column < inner)
      for (int r = threadIdx.y; r < length; r += blockDim.y) {
        const float value = sign * to_float(x[(o * length + r) * inner + column]);
        acc = is_sum ? acc + value : Max::merge(acc, value);
      }
    parts[threadIdx.y * blockDim.x + threadIdx.x] = acc;
    __syncthreads();
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
      if (threadIdx.y < half) {
        float& mine = parts[threadIdx.y * blockDim.x + threadIdx.x];
        const float other = parts[(threadIdx.y + half) * blockDim.x + threadIdx.x];
        mine = is_sum ? mine + other : Max::merge(mine, other);
      }
      __syncthreads();
    }
    if (threadIdx.y == 0 && column < inner) {
      const float result = sign * parts[threadIdx.x];
      y[o * inner + column] = from_float<T>(code == kReduceMean ? result / length : result);
    }
    __syncthreads();
  }
}

/// The same with V neighbours a thread (16 bytes); inner is a multiple of V. Threads of a block: x
/// over kReduceColumns of V, y over length, whole warps of both. Many rows at once, because a
/// squeezed image is a few hundred rows that one multiprocessor must read at a stretch.
template <typename T, int V>
__device__ void reduce_middle_vec(T* y, const T* x, long long outer, int length, int inner,
                                  int code) {
  constexpr int kWidth = kReduceColumns * V;
  constexpr int kBatch = 4;
  __shared__ float parts[32][kWidth];  // one row a warp
  const int thread = threadIdx.y * kReduceColumns + threadIdx.x;
  const int warps = blockDim.y * kReduceColumns / 32;
  const int column = blockIdx.x * kWidth + threadIdx.x * V;
  const bool is_sum = code == kReduceMean || code == kReduceSum;
  const float sign = code == kReduceMin ? -1.0f : 1.0f;
  const float start = is_sum ? 0.0f : Max::start();
  const auto merge = [&](float a, float b) { return is_sum ? a + b : Max::merge(a, b); };
  for (long long o = blockIdx.y; o < outer; o += gridDim.y) {
    float acc[V];
#pragma unroll
    for (int v = 0; v < V; ++v) acc[v] = start;
    const T* const from = x + o * length * inner + column;
    const int stride = blockDim.y;
    for (int base = threadIdx.y; base < length && column < inner; base += kBatch * stride) {
      Pack<T, V> packs[kBatch];
#pragma unroll
      for (int u = 0; u < kBatch; ++u)
        if (const int r = base + u * stride; r < length)
          packs[u] = *reinterpret_cast<const Pack<T, V>*>(from + static_cast<long long>(r) * inner);
#pragma unroll
      for (int u = 0; u < kBatch; ++u)
        if (base + u * stride < length)
#pragma unroll
          for (int v = 0; v < V; ++v) acc[v] = merge(acc[v], sign * to_float(packs[u].at[v]));
    }
#pragma unroll
    for (int v = 0; v < V; ++v) {
#pragma unroll
      for (int offset = kReduceColumns; offset < 32; offset *= 2)
        acc[v] = merge(acc[v], __shfl_xor_sync(0xffffffffu, acc[v], offset));
      if (thread % 32 < kReduceColumns) parts[thread / 32][threadIdx.x * V + v] = acc[v];
    }
    __syncthreads();
    for (int i = thread; i < kWidth; i += warps * 32) {
      if (blockIdx.x * kWidth + i >= inner) break;
      float total = parts[0][i];
      for (int warp = 1; warp < warps; ++warp) total = merge(total, parts[warp][i]);
      y[o * inner + blockIdx.x * kWidth + i] =
          from_float<T>(sign * (code == kReduceMean ? total / length : total));
    }
    __syncthreads();
  }
}

/// x is [rows, length]: a warp each row.
template <typename T>
__device__ void reduce_last(T* y, const T* x, long long rows, int length, int code) {
  const bool is_sum = code == kReduceMean || code == kReduceSum;
  const float sign = code == kReduceMin ? -1.0f : 1.0f;
  const int warps = blockDim.x / 32;
  for (long long row = blockIdx.x * 1LL * warps + threadIdx.x / 32; row < rows;
       row += 1LL * gridDim.x * warps) {
    float acc = is_sum ? 0.0f : Max::start();
    for (int i = threadIdx.x % 32; i < length; i += 32) {
      const float value = sign * to_float(x[row * length + i]);
      acc = is_sum ? acc + value : Max::merge(acc, value);
    }
    acc = is_sum ? reduce_warp<Sum>(acc) : reduce_warp<Max>(acc);
    if (threadIdx.x % 32 == 0)
      y[row] = from_float<T>(sign * (code == kReduceMean ? acc / length : acc));
  }
}

/// A block each row of [outer, length, inner]: element i of a row is `inner` apart from its
/// neighbour.
template <typename T>
__device__ void softmax(T* y, const T* x, long long rows, int length, int inner, bool is_log) {
  for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
    const long long base = row / inner * length * inner + row % inner;
    float top = Max::start();
    for (int i = threadIdx.x; i < length; i += blockDim.x)
      top = Max::merge(top, to_float(x[base + 1LL * i * inner]));
    top = reduce_block<Max>(top);
    float sum = 0.0f;
    for (int i = threadIdx.x; i < length; i += blockDim.x)
      sum += expf(to_float(x[base + 1LL * i * inner]) - top);
    sum = reduce_block<Sum>(sum);
    const float log_sum = is_log ? logf(sum) : 0.0f;
    const float scale = 1.0f / sum;
    for (int i = threadIdx.x; i < length; i += blockDim.x) {
      const float value = to_float(x[base + 1LL * i * inner]) - top;
      y[base + 1LL * i * inner] = from_float<T>(is_log ? value - log_sum : expf(value) * scale);
    }
  }
}

template <typename T>
__device__ void layer_norm(T* y, const T* x, const float* scale, const float* bias, long long rows,
                           int length, float epsilon, bool has_mean) {
  for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
    const T* in = x + row * length;
    float sum = 0.0f;
    if (has_mean)
      for (int i = threadIdx.x; i < length; i += blockDim.x) sum += to_float(in[i]);
    const float mean = has_mean ? reduce_block<Sum>(sum) / length : 0.0f;
    float squares = 0.0f;
    for (int i = threadIdx.x; i < length; i += blockDim.x) {
      const float d = to_float(in[i]) - mean;
      squares += d * d;
    }
    const float inverse = rsqrtf(reduce_block<Sum>(squares) / length + epsilon);
    for (int i = threadIdx.x; i < length; i += blockDim.x) {
      float value = (to_float(in[i]) - mean) * inverse * scale[i];
      if (bias != nullptr) value += bias[i];
      y[row * length + i] = from_float<T>(value);
    }
  }
}

}  // namespace

#define MAKE(suffix, T)                                                                          \
  GACER_KERNEL(reduce_middle_##suffix, T* y, const T* x, long long outer, int length, int inner, \
               int code) {                                                                       \
    reduce_middle<T>(y, x, outer, length, inner, code);                                          \
  }                                                                                              \
  GACER_KERNEL(reduce_middle_vec_##suffix, T* y, const T* x, long long outer, int length,        \
               int inner, int code) {                                                            \
    reduce_middle_vec<T, 16 / sizeof(T)>(y, x, outer, length, inner, code);                      \
  }                                                                                              \
  GACER_KERNEL(reduce_last_##suffix, T* y, const T* x, long long rows, int length, int code) {   \
    reduce_last<T>(y, x, rows, length, code);                                                    \
  }                                                                                              \
  GACER_KERNEL(softmax_##suffix, T* y, const T* x, long long rows, int length, int inner,        \
               bool is_log) {                                                                    \
    softmax<T>(y, x, rows, length, inner, is_log);                                               \
  }                                                                                              \
  GACER_KERNEL(layer_norm_##suffix, T* y, const T* x, const float* scale, const float* bias,     \
               long long rows, int length, float epsilon, bool has_mean) {                       \
    layer_norm<T>(y, x, scale, bias, rows, length, epsilon, has_mean);                           \
  }
GACER_FOR_FLOATS(MAKE)
