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

/// A few bytes that are set again, as a memory set would.
struct Reset {
  void* to = nullptr;
  unsigned bytes = 0;
  unsigned pattern = 0;  ///< four bytes that repeat
};

constexpr int kMostResets = 64;  // of a launch

struct ResetArgs {
  Reset resets[kMostResets];  ///< one a block
};

}  // namespace gacer::cuda
