// Squeeze-and-excite in one launch: the mean of an image over its positions, a product, an
// activation, a second product. The blocks of a cluster share an image: each sums some of the
// positions, then makes some of either product's rows, and reads what the others made.

#include "backend/cuda/kernels/cluster.cuh"
#include "backend/cuda/kernels/common.cuh"
#include "backend/cuda/kernels/squeeze_excite.h"

using gacer::cuda::kSqueezeExciteThreads;
using gacer::cuda::SqueezeExciteArgs;

namespace {

/// Waits for the blocks that share the image, or for the threads of the only one.
__device__ void sync_all(int ranks) {
  if (ranks > 1)
    sync_cluster();
  else
    __syncthreads();
}

/// finish(row, w[row, :] · v) for rows [begin, end) of a matrix with `pitch` columns. Several
/// neighbouring threads make a row, several rows at once; `v` is in shared memory.
template <typename T, typename F>
__device__ void multiply_rows(const T* w, const float* v, int pitch, int begin, int end, F finish) {
  constexpr int V = 16 / sizeof(T);
  constexpr int kRows = 4;
  const int packs = pitch / V;
  int width = 1;  // threads of a row
  while (width < 32 && width < packs) width *= 2;
  const int lane = threadIdx.x % width;
  const int groups = blockDim.x / width;
  // All threads of a warp take the same turns.
  for (int first = begin; first < end; first += groups * kRows) {
    const int row = first + threadIdx.x / width;
    float sums[kRows] = {};
    for (int pack = lane; pack < packs; pack += width) {
      Pack<T, V> weights[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        // Rows beyond the end repeat the last one.
        const long long at = min(row + r * groups, end - 1);
        weights[r] = *reinterpret_cast<const Pack<T, V>*>(w + at * pitch + pack * V);
      }
      float values[V];
#pragma unroll
      for (int i = 0; i < V; i += 4) {
        const float4 four = *reinterpret_cast<const float4*>(v + pack * V + i);
        values[i] = four.x;
        values[i + 1] = four.y;
        values[i + 2] = four.z;
        values[i + 3] = four.w;
      }
#pragma unroll
      for (int r = 0; r < kRows; ++r)
#pragma unroll
        for (int i = 0; i < V; ++i) sums[r] += to_float(weights[r].at[i]) * values[i];
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      for (int offset = width / 2; offset > 0; offset /= 2)
        sums[r] += __shfl_xor_sync(0xffffffffu, sums[r], offset);
      if (lane == 0 && row + r * groups < end) finish(row + r * groups, sums[r]);
    }
  }
}

/// A block's part of the image's sums, per channel: sums[channel].
template <typename T>
__device__ void sum_positions(float* sums, const T* image, const SqueezeExciteArgs& a, int rank,
                              int ranks) {
  constexpr int V = 16 / sizeof(T);
  const int packs = a.channels / V;
  for (int i = threadIdx.x; i < a.lanes * packs; i += blockDim.x) {
    const int lane = i / packs;
    const T* const column = image + i % packs * V;
    float own[V] = {};
#pragma unroll 4
    for (int p = rank * a.lanes + lane; p < a.positions; p += ranks * a.lanes) {
      const Pack<T, V> pack = *reinterpret_cast<const Pack<T, V>*>(column + p * a.x_p);
#pragma unroll
      for (int v = 0; v < V; ++v) own[v] += to_float(pack.at[v]);
    }
#pragma unroll
    for (int v = 0; v < V; v += 4)
      *reinterpret_cast<float4*>(sums + i * V + v) =
          make_float4(own[v], own[v + 1], own[v + 2], own[v + 3]);
  }
  __syncthreads();
  for (int c = threadIdx.x; c < a.channels; c += blockDim.x) {
    float sum = sums[c];
    for (int lane = 1; lane < a.lanes; ++lane) sum += sums[lane * a.channels + c];
    sums[c] = sum;
  }
}

/// Shared memory: sums [lanes, channels], mean [channels], hidden [the larger of all shares and
/// hidden_pitch].
template <typename T>
__device__ void squeeze_excite(T* y, const T* x, const T* w1, const float* b1, const T* w2,
                               const float* b2, const SqueezeExciteArgs& a) {
  extern __shared__ float4 shared[];
  float* const sums = reinterpret_cast<float*>(shared);
  float* const mean = sums + a.lanes * a.channels;
  float* const hidden = mean + a.channels;
  const int rank = blockIdx.z;
  const int ranks = gridDim.z;

  sum_positions(sums, x + blockIdx.x * a.x_n, a, rank, ranks);
  sync_all(ranks);
  const float scale = 1.0f / a.positions;
  for (int i = threadIdx.x; i < a.channels / 4; i += blockDim.x) {
    const float4* const part = reinterpret_cast<const float4*>(sums) + i;
    float4 sum = load_from_rank(part, 0);
    for (int from = 1; from < ranks; ++from) add_to(sum, load_from_rank(part, from));
    reinterpret_cast<float4*>(mean)[i] =
        make_float4(sum.x * scale, sum.y * scale, sum.z * scale, sum.w * scale);
  }
  __syncthreads();

  const int begin = min(rank * a.hidden_share, a.hidden);
  const int end = min(begin + a.hidden_share, a.hidden);
  multiply_rows(w1, mean, a.channels, begin, end, [&](int row, float sum) {
    if (b1 != nullptr) sum += b1[row];
    hidden[row] = activate(a.hidden_activation, sum, a.hidden_alpha, a.hidden_beta);
  });
  // What is behind the last one meets weights of zero.
  const int all = max(ranks * a.hidden_share, a.hidden_pitch);
  for (int i = a.hidden + threadIdx.x; i < all; i += blockDim.x) hidden[i] = 0.0f;
  sync_all(ranks);
  if (ranks > 1) {
    for (int i = threadIdx.x; i < ranks * a.hidden_share / 4; i += blockDim.x) {
      const int owner = i * 4 / a.hidden_share;
      float4* const four = reinterpret_cast<float4*>(hidden) + i;
      if (owner != rank) *four = load_from_rank(four, owner);
    }
    // From here on nobody reads this block's memory but itself.
    arrive_at_cluster();
    __syncthreads();
  }

  const int share = (a.outputs + ranks - 1) / ranks;
  const int first = min(rank * share, a.outputs);
  multiply_rows(
      w2, hidden, a.hidden_pitch, first, min(first + share, a.outputs), [&](int row, float sum) {
        if (b2 != nullptr) sum += b2[row];
        y[blockIdx.x * a.y_n + row] = from_float<T>(activate(a.activation, sum, a.alpha, a.beta));
      });
  // Nobody leaves while others read its share.
  if (ranks > 1) wait_for_cluster();
}

}  // namespace

#define MAKE(suffix, T)                                                                    \
  extern "C" __global__ void __launch_bounds__(kSqueezeExciteThreads)                      \
      squeeze_excite_##suffix(T* y, const T* x, const T* w1, const float* b1, const T* w2, \
                              const float* b2, SqueezeExciteArgs a) {                      \
    squeeze_excite<T>(y, x, w1, b1, w2, b2, a);                                            \
  }
GACER_FOR_FLOATS(MAKE)
