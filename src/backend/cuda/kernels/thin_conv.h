// Arguments of kernels/thin_conv.cu, shared with the host side.
#pragma once

#include "backend/cuda/kernels/divisor.h"

namespace gacer::cuda {

/// A convolution of few input channels; strides in elements, channels of y are neighbours.
struct ThinConvArgs {
  int channels, in_h, in_w, out_h, out_w;
  int kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
  int num_taps;           ///< groups of channels * kernel_h * kernel_w
  int k_steps;            ///< of 4 taps
  int patch_h, patch_w;   ///< of the input that a block reads
  Divisor filter_blocks;  ///< that see the same patch
  int x_c, x_h, x_w;      ///< offsets in an image have 32 bits
  long long x_n, y_n, y_h, y_w;
  int activation;
  float alpha, beta;
};

/// Channels that lie together; missing ones are zero.
inline constexpr int kThinConvGroup = 4;

/// Output pixels of a row that a warp makes; a block has as many rows as warps.
inline constexpr int kThinConvWidth = 32;

}  // namespace gacer::cuda
