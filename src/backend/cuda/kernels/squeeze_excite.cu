// Squeeze-and-excite in one launch: the mean of an image over its positions, a product, an
// activation, a second product. The blocks of a cluster share an image: each sums some of the
// positions, then makes some of either product's rows, and reads what the others made. Its rows of
// the weights come to shared memory while the image is read.

#include "backend/cuda/kernels/cluster.cuh"
#include "backend/cuda/kernels/common.cuh"
#include "backend/cuda/kernels/squeeze_excite.h"

using gacer::cuda::kSqueezeExciteAhead;
using gacer::cuda::kSqueezeExciteMaxCluster;
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

/// Begins to copy whole vectors to shared memory.
__device__ void copy_ahead(void* to, const void* from, int bytes) {
  for (int i = threadIdx.x * 16; i < bytes; i += blockDim.x * 16)
    begin_copy_16(static_cast<char*>(to) + i, static_cast<const char*>(from) + i);
}

/// The same for single numbers of f32; of none zeros.
__device__ void copy_floats_ahead(float* to, const float* from, int count) {
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    if (from == nullptr)
      to[i] = 0.0f;
    else
      begin_copy_4(to + i, from + i);
  }
}

/// finish(row, w[row, :] · v) for the rows of a matrix with `pitch` columns. Several neighbouring
/// threads make a row, several rows at once; `v` is in shared memory.
template <typename T, typename F>
__device__ void multiply_rows(const T* w, const float* v, int pitch, int rows, F finish) {
  constexpr int V = 16 / sizeof(T);
  constexpr int kRows = 4;
  const int packs = pitch / V;
  int width = 1;  // threads of a row
  while (width < 32 && width < packs) width *= 2;
  const int lane = threadIdx.x % width;
  const int groups = blockDim.x / width;
  // All threads of a warp take the same turns.
  for (int first = 0; first < rows; first += groups * kRows) {
    const int row = first + threadIdx.x / width;
    float sums[kRows] = {};
#pragma unroll 2
    for (int pack = lane; pack < packs; pack += width) {
      Pack<T, V> weights[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        // Rows beyond the end repeat the last one.
        const long long at = min(row + r * groups, rows - 1);
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
    for (int offset = width / 2; offset > 0; offset /= 2)
#pragma unroll
      for (int r = 0; r < kRows; ++r) sums[r] += __shfl_xor_sync(0xffffffffu, sums[r], offset);
    // Each thread of a row's finishes one of the sums, or several if the row has fewer threads.
    for (int r0 = 0; r0 < kRows; r0 += width) {
      const int mine = r0 + lane;
      float sum = sums[0];
#pragma unroll
      for (int r = 1; r < kRows; ++r)
        if (r == mine) sum = sums[r];
      if (mine < kRows && row + mine * groups < rows) finish(row + mine * groups, sum);
    }
  }
}

/// A block's part of the image's sums, per channel: sums[channel].
template <typename T>
__device__ void sum_positions(float* sums, const T* image, const SqueezeExciteArgs& a, int rank,
                              int ranks) {
  constexpr int V = 16 / sizeof(T);
  constexpr int kAhead = kSqueezeExciteAhead;
  const int packs = a.channels / V;
  const int step = ranks * a.lanes;
  for (int i = threadIdx.x; i < a.lanes * packs; i += blockDim.x) {
    const int lane = i / packs;
    const T* const column = image + i % packs * V;
    float own[V] = {};
    for (int first = rank * a.lanes + lane; first < a.positions; first += kAhead * step) {
      Pack<T, V> pack[kAhead];
#pragma unroll
      for (int u = 0; u < kAhead; ++u)
        if (const int p = first + u * step; p < a.positions)
          pack[u] = *reinterpret_cast<const Pack<T, V>*>(column + p * a.x_p);
#pragma unroll
      for (int u = 0; u < kAhead; ++u)
        if (first + u * step < a.positions)
#pragma unroll
          for (int v = 0; v < V; ++v) own[v] += to_float(pack[u].at[v]);
    }
#pragma unroll
    for (int v = 0; v < V; v += 4)
      *reinterpret_cast<float4*>(sums + i * V + v) =
          make_float4(own[v], own[v + 1], own[v + 2], own[v + 3]);
  }
  if (a.lanes == 1) return;
  __syncthreads();
  for (int c = threadIdx.x; c < a.channels; c += blockDim.x) {
    float sum = sums[c];
#pragma unroll 8
    for (int lane = 1; lane < a.lanes; ++lane) sum += sums[lane * a.channels + c];
    sums[c] = sum;
  }
}

/// Shared memory: sums [lanes, channels], mean [channels], hidden [the larger of all shares and
/// hidden_pitch], this block's biases of the two products, [hidden_share] and [output_share], and,
/// where weights are copied ahead, its rows of either matrix.
template <typename T>
__device__ void squeeze_excite(T* y, const T* x, const T* w1, const float* b1, const T* w2,
                               const float* b2, const SqueezeExciteArgs& a) {
  float4* const shared = shared_memory<float4>();
  float* const sums = reinterpret_cast<float*>(shared);
  float* const mean = sums + a.lanes * a.channels;
  float* const hidden = mean + a.channels;
  const int rank = blockIdx.z;
  const int ranks = gridDim.z;
  const int all_hidden = max(ranks * a.hidden_share, a.hidden_pitch);

  const int begin = min(rank * a.hidden_share, a.hidden);
  const int rows1 = min(a.hidden_share, a.hidden - begin);
  const int first = min(rank * a.output_share, a.outputs);
  const int rows2 = min(a.output_share, a.outputs - first);
  w1 += static_cast<long long>(begin) * a.channels;
  w2 += static_cast<long long>(first) * a.hidden_pitch;
  float* const bias1 = hidden + all_hidden;
  float* const bias2 = bias1 + a.hidden_share;
  copy_floats_ahead(bias1, b1 != nullptr ? b1 + begin : nullptr, rows1);
  copy_floats_ahead(bias2, b2 != nullptr ? b2 + first : nullptr, rows2);
  if (a.is_copied_ahead) {
    T* const copy1 = reinterpret_cast<T*>(bias2 + a.output_share);
    T* const copy2 = copy1 + a.hidden_share * a.channels;
    copy_ahead(copy1, w1, rows1 * a.channels * static_cast<int>(sizeof(T)));
    end_copies();
    copy_ahead(copy2, w2, rows2 * a.hidden_pitch * static_cast<int>(sizeof(T)));
    w1 = copy1;
    w2 = copy2;
  }
  end_copies();

  sum_positions(sums, x + blockIdx.x * a.x_n, a, rank, ranks);
  sync_all(ranks);
  const float scale = 1.0f / a.positions;
  for (int i = threadIdx.x; i < a.channels / 4; i += blockDim.x) {
    const float4* const part = reinterpret_cast<const float4*>(sums) + i;
    const float4 sum = ranks > 1 ? sum_of_ranks<kSqueezeExciteMaxCluster>(part, ranks) : *part;
    reinterpret_cast<float4*>(mean)[i] =
        make_float4(sum.x * scale, sum.y * scale, sum.z * scale, sum.w * scale);
  }
  if (a.is_copied_ahead)
    wait_for_copies<1>();
  else
    wait_for_copies<0>();
  __syncthreads();

  multiply_rows(w1, mean, a.channels, rows1, [&](int row, float sum) {
    hidden[begin + row] =
        activate(a.hidden_activation, sum + bias1[row], a.hidden_alpha, a.hidden_beta);
  });
  // What is behind the last one meets weights of zero.
  for (int i = a.hidden + threadIdx.x; i < all_hidden; i += blockDim.x) hidden[i] = 0.0f;
  wait_for_copies<0>();
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

  multiply_rows(w2, hidden, a.hidden_pitch, rows2, [&](int row, float sum) {
    y[blockIdx.x * a.y_n + first + row] =
        from_float<T>(activate(a.activation, sum + bias2[row], a.alpha, a.beta));
  });
  // Nobody leaves while others read its share.
  if (ranks > 1) wait_for_cluster();
}

}  // namespace

#define MAKE(suffix, T)                                                                \
  GACER_KERNEL_UP_TO(kSqueezeExciteThreads, squeeze_excite_##suffix, T* y, const T* x, \
                     const T* w1, const float* b1, const T* w2, const float* b2,       \
                     SqueezeExciteArgs a) {                                            \
    squeeze_excite<T>(y, x, w1, b1, w2, b2, a);                                        \
  }
GACER_FOR_FLOATS(MAKE)
