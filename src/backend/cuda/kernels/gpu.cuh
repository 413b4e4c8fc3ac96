// What only a GPU has: kernels that the host finds by name, shared memory, instructions without a
// name in C++. Tests that run the kernels on a CPU have another file of this name
// (tests/backend/cuda/on_cpu).
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

/// Declares a kernel.
#define GACER_KERNEL(name, ...) extern "C" __global__ void name(__VA_ARGS__)
/// The same for blocks of at most `threads`.
#define GACER_KERNEL_UP_TO(threads, name, ...) \
  extern "C" __global__ void __launch_bounds__(threads) name(__VA_ARGS__)
/// The same for blocks of at most `threads`, of which `blocks` shall find registers on a
/// multiprocessor.
#define GACER_KERNEL_OF(threads, blocks, name, ...) \
  extern "C" __global__ void __launch_bounds__(threads, blocks) name(__VA_ARGS__)

namespace {

/// The shared memory that a launch asked for.
template <typename T>
__device__ inline T* shared_memory() {
  extern __shared__ uint4 gacer_shared_memory[];
  return reinterpret_cast<T*>(gacer_shared_memory);
}

/// Larger and smaller of two numbers; NaN stays NaN, as in the reference.
__device__ inline float max_or_nan(float a, float b) {
  float result;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
  return result;
}
__device__ inline float min_or_nan(float a, float b) {
  float result;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
  return result;
}

/// Words of global memory, by one store: of an assignment the compiler (13.0) makes one for each
/// member where it has much to inline.
__device__ inline void store_words(void* to, const unsigned (&words)[1]) {
  *static_cast<unsigned*>(to) = words[0];
}
__device__ inline void store_words(void* to, const unsigned (&words)[2]) {
  asm volatile("st.global.v2.u32 [%0], {%1, %2};" ::"l"(__cvta_generic_to_global(to)),
               "r"(words[0]), "r"(words[1])
               : "memory");
}
__device__ inline void store_words(void* to, const unsigned (&words)[4]) {
  asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)),
               "r"(words[0]), "r"(words[1]), "r"(words[2]), "r"(words[3])
               : "memory");
}

/// One product of the tensor cores: d[16, 8] += a[16, 16] · b[16, 8], operands of 16 bits, sums in
/// f32. Which elements a thread holds: the description of mma.m16n8k16 in the PTX manual.
__device__ inline void multiply(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                                __half) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ inline void multiply(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                                __nv_bfloat16) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
      "{%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// Four 8 x 8 matrices of 16-bit numbers from shared memory. Lane 8 i + r says where row r of
/// matrix i lies, 16 bytes at a multiple of 16; lane l holds of each what is in row l / 4, columns
/// l % 4 * 2 and the next, or, transposed, in column l / 4, rows l % 4 * 2 and the next.
template <bool kIsTransposed>
__device__ inline void load_matrices(unsigned (&to)[4], const void* row) {
  const unsigned at = static_cast<unsigned>(__cvta_generic_to_shared(row));
  if (kIsTransposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at)
                 : "memory");
}

/// Begin to copy 16 or 4 bytes to shared memory.
__device__ inline void begin_copy_16(void* to, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(
                   static_cast<unsigned>(__cvta_generic_to_shared(to))),
               "l"(from)
               : "memory");
}
__device__ inline void begin_copy_4(void* to, const void* from) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(
                   static_cast<unsigned>(__cvta_generic_to_shared(to))),
               "l"(from)
               : "memory");
}
/// What was begun since the last call is one group of copies.
__device__ inline void end_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits for this thread's part of all groups but the last kLater.
template <int kLater>
__device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLater) : "memory");
}

/// The two halves of sync_cluster(): work that touches no other block's memory may lie between. On
/// devices before Hopper there are no clusters.
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

}  // namespace
