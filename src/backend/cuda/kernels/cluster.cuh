// What blocks of a cluster (along z) need to work together. On devices before Hopper there are no
// clusters: kernels are launched with one block along z there.
#pragma once

#include "backend/cuda/kernels/gpu.cuh"

namespace {

/// Waits for all threads of the cluster; what they wrote to shared memory is visible after.
__device__ inline void sync_cluster() {
  arrive_at_cluster();
  wait_for_cluster();
}

__device__ inline void add_to(float4& sum, float4 more) {
  sum.x += more.x;
  sum.y += more.y;
  sum.z += more.z;
  sum.w += more.w;
}

/// The sum of what the first `ranks` blocks have there, at most kMost: all are asked before the
/// first answers, for an answer takes as long as one from the cache that all share.
template <int kMost>
__device__ inline float4 sum_of_ranks(const float4* own, int ranks) {
  float4 parts[kMost];
#pragma unroll
  for (int from = 0; from < kMost; ++from)
    if (from < ranks) parts[from] = load_from_rank(own, from);
  float4 sum = parts[0];
#pragma unroll
  for (int from = 1; from < kMost; ++from)
    if (from < ranks) add_to(sum, parts[from]);
  return sum;
}

}  // namespace
