// Arguments of kernels/row_check.cu, shared with the host side.
#pragma once

namespace gacer::cuda {

/// Rows of bytes and the same rows side by side.
struct RowCheckArgs {
  const void* rows = nullptr;
  void* copy = nullptr;
  unsigned long long count = 0;  ///< of rows
  unsigned long long units = 0;  ///< of a row
  unsigned long long pitch = 0;  ///< bytes from row to row
};

}  // namespace gacer::cuda
