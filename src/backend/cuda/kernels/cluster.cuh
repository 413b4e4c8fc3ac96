// What blocks of a cluster (along z) need to work together. On devices before Hopper there are no
// clusters: kernels are launched with one block along z there.
#pragma once

namespace {

/// The two halves of sync_cluster(): work that touches no other block's memory may lie between.
__device__ inline void arrive_at_cluster() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release;" ::: "memory");
#endif
}
__device__ inline void wait_for_cluster() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
#endif
}

/// Waits for all threads of the cluster; what they wrote to shared memory is visible after.
__device__ inline void sync_cluster() {
  arrive_at_cluster();
  wait_for_cluster();
}

/// What block `rank` of the cluster has in shared memory where this one has `own`.
__device__ inline float4 load_from_rank(const float4* own, int rank) {
  float4 value = *own;
#if __CUDA_ARCH__ >= 900
  const unsigned here = static_cast<unsigned>(__cvta_generic_to_shared(own));
  unsigned there;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(here), "r"(rank));
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(value.x), "=f"(value.y), "=f"(value.z), "=f"(value.w)
               : "r"(there)
               : "memory");
#endif
  return value;
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
