// What the kernels compiled with the program share. Plain CUDA C++, no headers of the host side.
#pragma once

#include "backend/cuda/kernels/activation_code.h"
#include "backend/cuda/kernels/divisor.h"
#include "backend/cuda/kernels/gpu.cuh"

namespace {

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__half x) { return __half2float(x); }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <typename T>
__device__ T from_float(float x);
template <>
__device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__device__ inline __half from_float<__half>(float x) {
  return __float2half_rn(x);
}
template <>
__device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}

__device__ inline int divide(int number, const gacer::cuda::Divisor& by) {
  const auto n = static_cast<unsigned>(number);
  return static_cast<int>((__umulhi(n, by.multiplier) + n) >> by.shift);
}

/// V neighbours that are loaded and stored together.
template <typename T, int V>
struct alignas(sizeof(T) * V) Pack {
  T at[V];
};

/// Two numbers rounded to T, 16 bits each, the first in the low half.
template <typename T>
__device__ unsigned round_pair(float low, float high);
template <>
__device__ inline unsigned round_pair<__half>(float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  return *reinterpret_cast<const unsigned*>(&pair);
}
template <>
__device__ inline unsigned round_pair<__nv_bfloat16>(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const unsigned*>(&pair);
}

/// Rounds V numbers and stores them at once; `to` is aligned as a Pack<T, V>.
template <typename T, int V>
__device__ inline void store_rounded(T* to, const float (&values)[V]) {
  if constexpr (V == 1) {
    *to = from_float<T>(values[0]);
  } else {
    constexpr int kNumbers = 4 / sizeof(T);  // of a word
    unsigned words[V / kNumbers];
#pragma unroll
    for (int i = 0; i < V / kNumbers; ++i) {
      if constexpr (kNumbers == 1)
        words[i] = __float_as_uint(values[i]);
      else
        words[i] = round_pair<T>(values[2 * i], values[2 * i + 1]);
    }
    store_words(to, words);
  }
}

using gacer::cuda::kClip;
using gacer::cuda::kElu;
using gacer::cuda::kGelu;
using gacer::cuda::kGeluTanh;
using gacer::cuda::kHardSigmoid;
using gacer::cuda::kHardSwish;
using gacer::cuda::kIdentity;
using gacer::cuda::kLeakyRelu;
using gacer::cuda::kRelu;
using gacer::cuda::kSigmoid;
using gacer::cuda::kSilu;
using gacer::cuda::kTanh;

__device__ inline float relu(float x) { return max_or_nan(x, 0.0f); }

__device__ inline float activate(int code, float x, float alpha, float beta) {
  switch (code) {
    case kRelu:
      return relu(x);
    case kLeakyRelu:
      return x < 0 ? alpha * x : x;
    case kClip:
      return min_or_nan(max_or_nan(x, alpha), beta);
    case kSigmoid:
      return 1.0f / (1.0f + __expf(-x));
    case kHardSigmoid:
      return max_or_nan(0.0f, min_or_nan(1.0f, alpha * x + beta));
    case kHardSwish:
      return x * fmaxf(0.0f, fminf(1.0f, x * (1.0f / 6.0f) + 0.5f));
    case kSilu:
      return x / (1.0f + __expf(-x));
    case kGelu:
      return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
    case kGeluTanh:
      return 0.5f * x * (1.0f + tanhf(0.79788456080286536f * (x + 0.044715f * x * x * x)));
    case kTanh:
      return tanhf(x);
    case kElu:
      return x < 0 ? alpha * expm1f(x) : x;
    default:
      return x;
  }
}

/// The same with the common activations in place and the others by a call: a kernel that applies
/// one to many registers would otherwise outgrow the instruction cache.
__device__ __noinline__ float activate_by_call(int code, float x, float alpha, float beta) {
  return activate(code, x, alpha, beta);
}
__device__ inline float activate_many(int code, float x, float alpha, float beta) {
  if (code == kIdentity) return x;
  if (code == kRelu) return relu(x);
  if (code == kHardSwish) return x * fmaxf(0.0f, fminf(1.0f, x * (1.0f / 6.0f) + 0.5f));
  return activate_by_call(code, x, alpha, beta);
}

struct Sum {
  static __device__ float start() { return 0.0f; }
  static __device__ float merge(float a, float b) { return a + b; }
};
struct Max {
  static __device__ float start() { return -__int_as_float(0x7f800000); }
  // NaN wins, as in the reference.
  static __device__ float merge(float a, float b) { return (a > b || isnan(a)) ? a : b; }
};

template <typename Op>
__device__ float reduce_warp(float x) {
  for (int offset = 16; offset > 0; offset /= 2)
    x = Op::merge(x, __shfl_xor_sync(0xffffffffu, x, offset));
  return x;
}

/// Over all threads of a block of up to 1024; every thread gets the result.
template <typename Op>
__device__ float reduce_block(float x) {
  __shared__ float parts[32];
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  x = reduce_warp<Op>(x);
  __syncthreads();
  if (lane == 0) parts[warp] = x;
  __syncthreads();
  const int warps = (blockDim.x + 31) / 32;
  return reduce_warp<Op>(lane < warps ? parts[lane] : Op::start());
}

}  // namespace

// Instantiates KERNEL##_f32, _f16 and _bf16 by a macro of one type.
#define GACER_FOR_FLOATS(MAKE) MAKE(f32, float) MAKE(f16, __half) MAKE(bf16, __nv_bfloat16)
