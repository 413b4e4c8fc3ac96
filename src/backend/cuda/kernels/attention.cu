// Attention in one pass over the keys. "rows" takes any sizes and types: a warp makes one query's
// result, its scores lie in shared memory. "tiles" runs on tensor cores: a warp makes 16 queries,
// the block brings 64 keys and values at a time to shared memory, and the softmax's maximum and sum
// are corrected as they go.

#include "backend/cuda/kernels/attention.h"
#include "backend/cuda/kernels/common.cuh"
#include "backend/cuda/kernels/mma.cuh"

using gacer::cuda::AttentionArgs;
using gacer::cuda::kAttentionKeys;
using gacer::cuda::kAttentionPad;
using gacer::cuda::kAttentionQueries;

namespace {

/// A score with its mask; minus infinity where the key is not seen.
template <typename T>
__device__ float masked(float product, const T* mask, int query, int key, const AttentionArgs& a) {
  if (key >= a.keys || (a.is_causal && key > query)) return Max::start();
  float score = product * a.scale;
  if (mask != nullptr) score += to_float(mask[query * a.mask.s + key * a.mask.d]);
  return score;
}

/// What scores are measured from, so that a query that sees no key gets no weights.
__device__ float base_of(float largest) { return largest == Max::start() ? 0.0f : largest; }

/// Shared memory, a warp: head_size numbers of the query, then a score a key.
template <typename T>
__device__ void attention_rows(T* y, const T* q, const T* k, const T* v, const T* mask,
                               const AttentionArgs& a) {
  float* const shared = shared_memory<float>();
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  const int warps = blockDim.x / 32;
  float* const own = shared + warp * (a.head_size + a.keys);
  float* const scores = own + a.head_size;
  const int head = blockIdx.y;
  const int item = blockIdx.z;
  const T* const keys = k + item * a.k.b + head * a.k.h;
  const T* const values = v + item * a.v.b + head * a.v.h;
  const T* const own_mask = mask == nullptr ? nullptr : mask + item * a.mask.b + head * a.mask.h;
  const int query = blockIdx.x * warps + warp;
  if (query >= a.queries) return;
  const T* const row = q + item * a.q.b + head * a.q.h + query * a.q.s;
  for (int d = lane; d < a.head_size; d += 32) own[d] = to_float(row[d * a.q.d]);
  __syncwarp();
  float largest = Max::start();
  for (int key = lane; key < a.keys; key += 32) {
    const T* const other = keys + key * a.k.s;
    float product = 0;
    for (int d = 0; d < a.head_size; ++d) product += own[d] * to_float(other[d * a.k.d]);
    scores[key] = masked(product, own_mask, query, key, a);
    largest = Max::merge(largest, scores[key]);
  }
  const float base = base_of(reduce_warp<Max>(largest));
  float sum = 0;
  for (int key = lane; key < a.keys; key += 32) {
    const float share = __expf(scores[key] - base);
    scores[key] = share;
    sum += share;
  }
  sum = reduce_warp<Sum>(sum);
  __syncwarp();
  T* const result = y + item * a.y.b + head * a.y.h + query * a.y.s;
  for (int d = lane; d < a.value_size; d += 32) {
    float value = 0;
    for (int key = 0; key < a.keys; ++key)
      value += scores[key] * to_float(values[key * a.v.s + d * a.v.d]);
    result[d * a.y.d] = from_float<T>(sum == 0 ? 0.0f : value / sum);
  }
}

template <typename T>
__device__ unsigned pair_at(const T* from) {
  return *reinterpret_cast<const unsigned*>(from);
}

/// Rows [first, first + kAttentionKeys) of keys or values to shared memory; zeros where there are
/// none, so that no product meets what is not a number.
template <typename T, int kSize>
__device__ void load_rows(T* to, const T* from, long long pitch, int first, int rows,
                          int channels) {
  constexpr int kPacks = kSize / 8;
  for (int i = threadIdx.x; i < kAttentionKeys * kPacks; i += blockDim.x) {
    const int row = i / kPacks;
    const int column = i % kPacks * 8;
    const bool is_inside = first + row < rows && column < channels;
    *reinterpret_cast<uint4*>(to + row * (kSize + kAttentionPad) + column) =
        load_wide(from + (first + row) * pitch + column, is_inside);
  }
}

/// kSize: head and value size, rounded up. A thread holds, of the 16 queries of its warp, rows
/// lane / 4 and 8 further, and of every 8 columns two neighbours.
template <typename T, int kSize>
__device__ void attention_tiles(T* y, const T* q, const T* k, const T* v, const T* mask,
                                const AttentionArgs& a) {
  uint4* const shared_packs = shared_memory<uint4>();
  static_assert(kSize % 32 == 0, "operands are loaded for two products at once");
  constexpr int kPitch = kSize + kAttentionPad;
  constexpr int kColumns = kAttentionKeys / 8;
  T* const key_rows = reinterpret_cast<T*>(shared_packs);
  T* const value_rows = key_rows + kAttentionKeys * kPitch;
  const int lane = threadIdx.x % 32;
  const int row = lane / 4;
  const int pair = lane % 4 * 2;
  const int head = blockIdx.y;
  const int item = blockIdx.z;
  const int first_query = (blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32) * kAttentionQueries;
  const T* const queries = q + item * a.q.b + head * a.q.h;
  const T* const own_mask = mask == nullptr ? nullptr : mask + item * a.mask.b + head * a.mask.h;

  unsigned query[kSize / 16][4];
#pragma unroll
  for (int step = 0; step < kSize / 16; ++step)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int at = first_query + row + i % 2 * 8;
      const int d = step * 16 + pair + i / 2 * 8;
      query[step][i] = at < a.queries && d < a.head_size ? pair_at(queries + at * a.q.s + d) : 0;
    }

  float result[kSize / 8][4] = {};
  float largest[2] = {Max::start(), Max::start()};
  float sum[2] = {};
  for (int first = 0; first < a.keys; first += kAttentionKeys) {
    __syncthreads();
    load_rows<T, kSize>(key_rows, k + item * a.k.b + head * a.k.h, a.k.s, first, a.keys,
                        a.head_size);
    load_rows<T, kSize>(value_rows, v + item * a.v.b + head * a.v.h, a.v.s, first, a.keys,
                        a.value_size);
    __syncthreads();

    float scores[kColumns][4] = {};
#pragma unroll
    for (int column = 0; column < kColumns; ++column)
#pragma unroll
      for (int step = 0; step < kSize / 16; step += 2) {
        unsigned keys[4];
        load_matrices<false>(
            keys, key_rows + (column * 8 + lane % 8) * kPitch + step * 16 + lane / 8 * 8);
        multiply(scores[column], query[step], {keys[0], keys[1]}, T());
        multiply(scores[column], query[step + 1], {keys[2], keys[3]}, T());
      }

    float next[2] = {largest[0], largest[1]};
#pragma unroll
    for (int column = 0; column < kColumns; ++column)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int at = min(first_query + row + i / 2 * 8, a.queries - 1);
        scores[column][i] =
            masked(scores[column][i], own_mask, at, first + column * 8 + pair + i % 2, a);
        next[i / 2] = fmaxf(next[i / 2], scores[column][i]);
      }
    float base[2];
    float correction[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      // The four lanes of a row.
      next[half] = fmaxf(next[half], __shfl_xor_sync(0xffffffffu, next[half], 1));
      next[half] = fmaxf(next[half], __shfl_xor_sync(0xffffffffu, next[half], 2));
      base[half] = base_of(next[half]);
      correction[half] = __expf(largest[half] - base[half]);
      largest[half] = next[half];
      sum[half] *= correction[half];
    }
#pragma unroll
    for (int column = 0; column < kColumns; ++column)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        scores[column][i] = __expf(scores[column][i] - base[i / 2]);
        sum[i / 2] += scores[column][i];
      }
#pragma unroll
    for (int column = 0; column < kSize / 8; ++column)
#pragma unroll
      for (int i = 0; i < 4; ++i) result[column][i] *= correction[i / 2];

#pragma unroll
    for (int step = 0; step < kAttentionKeys / 16; ++step) {
      const unsigned share[4] = {round_pair<T>(scores[2 * step][0], scores[2 * step][1]),
                                 round_pair<T>(scores[2 * step][2], scores[2 * step][3]),
                                 round_pair<T>(scores[2 * step + 1][0], scores[2 * step + 1][1]),
                                 round_pair<T>(scores[2 * step + 1][2], scores[2 * step + 1][3])};
#pragma unroll
      for (int column = 0; column < kSize / 8; column += 2) {
        unsigned values[4];
        load_matrices<true>(
            values, value_rows + (step * 16 + lane % 16) * kPitch + (column + lane / 16) * 8);
        multiply(result[column], share, {values[0], values[1]}, T());
        multiply(result[column + 1], share, {values[2], values[3]}, T());
      }
    }
  }

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    sum[half] += __shfl_xor_sync(0xffffffffu, sum[half], 1);
    sum[half] += __shfl_xor_sync(0xffffffffu, sum[half], 2);
  }
  T* const to = y + item * a.y.b + head * a.y.h;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int at = first_query + row + half * 8;
    if (at >= a.queries) continue;
    const float factor = sum[half] == 0 ? 0.0f : 1.0f / sum[half];
#pragma unroll
    for (int column = 0; column < kSize / 8; ++column) {
      const int d = column * 8 + pair;
      if (d < a.value_size)
        *reinterpret_cast<unsigned*>(to + at * a.y.s + d) =
            round_pair<T>(result[column][half * 2] * factor, result[column][half * 2 + 1] * factor);
    }
  }
}

}  // namespace

#define MAKE_ROWS(suffix, T)                                                                     \
  GACER_KERNEL(attention_rows_##suffix, T* y, const T* q, const T* k, const T* v, const T* mask, \
               AttentionArgs a) {                                                                \
    attention_rows<T>(y, q, k, v, mask, a);                                                      \
  }
GACER_FOR_FLOATS(MAKE_ROWS)
#define MAKE_TILES(suffix, T, SIZE)                                                         \
  GACER_KERNEL(attention_tiles_##SIZE##_##suffix, T* y, const T* q, const T* k, const T* v, \
               const T* mask, AttentionArgs a) {                                            \
    attention_tiles<T, SIZE>(y, q, k, v, mask, a);                                          \
  }
#define MAKE(suffix, T)     \
  MAKE_TILES(suffix, T, 32) \
  MAKE_TILES(suffix, T, 64) \
  MAKE_TILES(suffix, T, 128)
MAKE(f16, __half)
MAKE(bf16, __nv_bfloat16)
