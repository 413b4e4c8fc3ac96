// Shapes of blocks in kernels/rows.cu, shared with the host side.
#pragma once

namespace gacer::cuda {

/// Threads of a block that lie side by side in reduce_middle_vec, each over 16 bytes.
inline constexpr int kReduceColumns = 4;

}  // namespace gacer::cuda
