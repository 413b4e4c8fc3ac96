// Arguments of kernels/fill.cu, shared with the host side.
#pragma once

namespace gacer::cuda {

/// Rows of bytes, each from its start filled with a pattern of four bytes that repeats.
struct FillArgs {
  void* to = nullptr;
  unsigned long long pitch = 0;  ///< bytes from row to row
  unsigned long long row_bytes = 0;
  unsigned pattern = 0;
};

}  // namespace gacer::cuda
