// Fills memory, in place of a graph's memory sets.

#include "backend/cuda/kernels/fill.h"
#include "backend/cuda/kernels/gpu.cuh"

/// One row a blockIdx.y; the blocks and threads of x share it.
GACER_KERNEL(fill, gacer::cuda::FillArgs args) {
  unsigned char* const row = static_cast<unsigned char*>(args.to) + blockIdx.y * args.pitch;
  const unsigned long long bytes = args.row_bytes;
  const unsigned long long thread =
      blockIdx.x * static_cast<unsigned long long>(blockDim.x) + threadIdx.x;
  const unsigned long long threads = gridDim.x * static_cast<unsigned long long>(blockDim.x);

  // Bytes up to the first 16-byte boundary, whole vectors, bytes after the last one.
  const unsigned long long misplaced = (16 - reinterpret_cast<unsigned long long>(row) % 16) % 16;
  const unsigned long long head = misplaced < bytes ? misplaced : bytes;
  const unsigned long long vectors = (bytes - head) / 16;
  const unsigned turned = __funnelshift_r(args.pattern, args.pattern, 8 * (head % 4));
  uint4* const middle = reinterpret_cast<uint4*>(row + head);
  for (unsigned long long i = thread; i < vectors; i += threads)
    middle[i] = make_uint4(turned, turned, turned, turned);

  const auto set = [&](unsigned long long at) {
    row[at] = static_cast<unsigned char>(args.pattern >> (8 * (at % 4)));
  };
  if (thread < head) set(thread);
  const unsigned long long tail = head + 16 * vectors;
  if (tail + thread < bytes) set(tail + thread);
}

GACER_KERNEL(reset, gacer::cuda::ResetArgs args) {
  const gacer::cuda::Reset set = args.resets[blockIdx.x];
  for (unsigned i = threadIdx.x; i < set.bytes; i += blockDim.x)
    static_cast<unsigned char*>(set.to)[i] =
        static_cast<unsigned char>(set.pattern >> (8 * (i % 4)));
}
