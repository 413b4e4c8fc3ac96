// Arguments of kernels/pool.cu and kernels/depthwise.cu; also read by nvcc.
#pragma once

#include "backend/cuda/kernels/divisor.h"

namespace gacer::cuda {

/// A 2-D window operator on strided images (strides in elements).
struct WindowArgs {
  int batch = 1;
  int channels = 1;
  int in_h = 1, in_w = 1;
  int out_h = 1, out_w = 1;
  int kernel_h = 1, kernel_w = 1;
  int stride_h = 1, stride_w = 1;
  int pad_h = 0, pad_w = 0;
  int dilation_h = 1, dilation_w = 1;
  /// Input extents with padding, for averages that count it.
  int padded_end_h = 0, padded_end_w = 0;
  int count_include_pad = 0;
  long long x_n = 0, x_c = 0, x_h = 0, x_w = 0;
  long long y_n = 0, y_c = 0, y_h = 0, y_w = 0;
  int activation = 0;
  float alpha = 0, beta = 0;
};

inline constexpr int kDepthwiseThreads = 128;  ///< of a block

/// How a thread's number becomes images, rows, tiles of a row and packs of channels, these last.
struct WindowSplit {
  Divisor packs, tiles, rows;
};

}  // namespace gacer::cuda
