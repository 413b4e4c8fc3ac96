// In the place of src/backend/cuda/kernels/gpu.cuh: the same for kernels that run on a CPU
// (simt.h), and what the compiler for GPUs brings itself.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "base/dtype.h"
#include "tests/backend/cuda/on_cpu/simt.h"

#define GACER_KERNEL_UP_TO(threads, name, ...)                                  \
  extern "C" void name(__VA_ARGS__);                                            \
  static const gacer::simt::Registered registered_##name(#name, name, threads); \
  extern "C" void name(__VA_ARGS__)
#define GACER_KERNEL(name, ...) GACER_KERNEL_UP_TO(1024, name, __VA_ARGS__)
#define GACER_KERNEL_OF(threads, blocks, name, ...) GACER_KERNEL_UP_TO(threads, name, __VA_ARGS__)

#define __device__
#define __noinline__
// Blocks run one after the other, but for those of a cluster, which must not have any of these.
// What a block leaves there the next one finds.
#define __shared__ static
#define threadIdx (gacer::simt::place().thread)
#define blockIdx (gacer::simt::place().block)
#define blockDim (gacer::simt::launch().block)
#define gridDim (gacer::simt::launch().grid)

using std::isnan;
using std::max;
using std::min;

struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// Numbers of 16 bits: bits, as gacer's own types have them.
struct __half {
  std::uint16_t bits;
};
struct __nv_bfloat16 {
  std::uint16_t bits;
};
struct __half2 {
  __half x, y;
};
struct __nv_bfloat162 {
  __nv_bfloat16 x, y;
};
inline float __half2float(__half x) { return static_cast<float>(std::bit_cast<gacer::Half>(x)); }
inline float __bfloat162float(__nv_bfloat16 x) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16);
}
inline __half __float2half_rn(float x) { return {gacer::Half(x).bits}; }
inline __nv_bfloat16 __float2bfloat16_rn(float x) { return {gacer::BFloat16(x).bits}; }
inline __half2 __floats2half2_rn(float x, float y) {
  return {__float2half_rn(x), __float2half_rn(y)};
}
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
  return {__float2bfloat16_rn(x), __float2bfloat16_rn(y)};
}

namespace {

inline float number(__half x) { return __half2float(x); }
inline float number(__nv_bfloat16 x) { return __bfloat162float(x); }
template <typename T>
T rounded(float x) {
  if constexpr (std::is_same_v<T, __half>)
    return __float2half_rn(x);
  else
    return __float2bfloat16_rn(x);
}

template <typename Pair>
Pair __hfma2(Pair a, Pair b, Pair c) {
  const auto one = [](auto x, auto y, auto z) {
    return rounded<decltype(x)>(std::fma(number(x), number(y), number(z)));
  };
  return {one(a.x, b.x, c.x), one(a.y, b.y, c.y)};
}
template <typename Pair>
Pair __hmax2_nan(Pair a, Pair b) {
  const auto one = [](auto x, auto y) { return isnan(number(x)) || number(x) > number(y) ? x : y; };
  return {one(a.x, b.x), one(a.y, b.y)};
}

template <typename T>
T __ldg(const T* from) {
  return *from;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((std::uint64_t{a} * b) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((std::uint64_t{high} << 32 | low) >> (shift % 32));
}
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __expf(float x) { return std::exp(x); }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }

inline void __syncthreads() { gacer::simt::sync_block(); }
inline void __syncwarp() { gacer::simt::sync_warp(); }

inline unsigned lane() { return gacer::simt::place().lane; }
template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  std::byte* const exchange = gacer::simt::next_exchange();
  std::memcpy(exchange + lane() * sizeof(T), &value, sizeof(T));
  gacer::simt::sync_warp();
  T other;
  std::memcpy(&other, exchange + (lane() ^ static_cast<unsigned>(mask)) * sizeof(T), sizeof(T));
  return other;
}

template <typename T>
T atomicAdd(T* at, T value) {
  return std::exchange(*at, *at + value);
}
template <typename T>
T atomicMin(T* at, T value) {
  return std::exchange(*at, std::min(*at, value));
}
template <typename T>
T atomicMax(T* at, T value) {
  return std::exchange(*at, std::max(*at, value));
}

// From here on what the other file has.

template <typename T>
T* shared_memory() {
  return reinterpret_cast<T*>(gacer::simt::shared_memory());
}

inline float max_or_nan(float a, float b) { return isnan(a) || isnan(b) ? NAN : std::max(a, b); }
inline float min_or_nan(float a, float b) { return isnan(a) || isnan(b) ? NAN : std::min(a, b); }

template <std::size_t kWords>
void store_words(void* to, const unsigned (&words)[kWords]) {
  if (reinterpret_cast<std::uintptr_t>(to) % sizeof(words) != 0) std::abort();  // as a GPU does
  std::memcpy(to, words, sizeof(words));
}

/// Lane l holds of a: rows l / 4 and l / 4 + 8, columns l % 4 * 2 and the next, and those 8
/// further; of b: the same columns' rows, column l / 4; of d: those rows, columns l % 4 * 2 and the
/// next.
template <typename T>
void multiply(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], T) {
  struct Shown {
    float a[8];  // registers' halves
    float b[4];
  };
  static_assert(sizeof(Shown) <= gacer::simt::kExchangeBytes);
  auto* const shown = reinterpret_cast<Shown*>(gacer::simt::next_exchange());
  const auto half = [](unsigned word, int i) {
    return number(T{static_cast<std::uint16_t>(i == 0 ? word : word >> 16)});
  };
  for (int i = 0; i < 8; ++i) shown[lane()].a[i] = half(a[i / 2], i % 2);
  for (int i = 0; i < 4; ++i) shown[lane()].b[i] = half(b[i / 2], i % 2);
  gacer::simt::sync_warp();
  const unsigned row = lane() / 4;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned column = lane() % 4 * 2 + i % 2;
    for (unsigned k = 0; k < 16; ++k) {
      const unsigned holder = k % 8 / 2;
      d[i] += shown[row * 4 + holder].a[(k / 8 * 2 + i / 2) * 2 + k % 2] *
              shown[column * 4 + holder].b[k / 8 * 2 + k % 2];
    }
  }
}

template <bool kIsTransposed>
void load_matrices(unsigned (&to)[4], const void* row) {
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) std::abort();  // as a GPU does
  std::byte* const exchange = gacer::simt::next_exchange();
  std::memcpy(exchange + lane() * 16, row, 16);
  gacer::simt::sync_warp();
  const auto* const shown = reinterpret_cast<const std::uint16_t*>(exchange);
  const unsigned at = lane() / 4;
  const unsigned pair = lane() % 4 * 2;
  for (unsigned i = 0; i < 4; ++i) {
    const auto number_at = [&](unsigned r, unsigned c) { return shown[(8 * i + r) * 8 + c]; };
    const unsigned low = kIsTransposed ? number_at(pair, at) : number_at(at, pair);
    const unsigned high = kIsTransposed ? number_at(pair + 1, at) : number_at(at, pair + 1);
    to[i] = low | high << 16;
  }
}

template <std::size_t kBytes>
void begin_copy(void* to, const void* from) {
  for (const void* address : {static_cast<const void*>(to), from})  // as a GPU does
    if (reinterpret_cast<std::uintptr_t>(address) % kBytes != 0) std::abort();
  gacer::simt::begin_copy(to, from, kBytes);
}
inline void begin_copy_16(void* to, const void* from) { begin_copy<16>(to, from); }
inline void begin_copy_4(void* to, const void* from) { begin_copy<4>(to, from); }
inline void end_copies() { gacer::simt::end_copies(); }
template <int kLater>
void wait_for_copies() {
  gacer::simt::wait_for_copies(kLater);
}

inline void arrive_at_cluster() {}
inline void wait_for_cluster() { gacer::simt::sync_cluster(); }
inline float4 load_from_rank(const float4* own, int rank) {
  const auto offset = reinterpret_cast<const std::byte*>(own) - gacer::simt::shared_memory();
  return *reinterpret_cast<const float4*>(gacer::simt::shared_memory(rank) + offset);
}

}  // namespace
