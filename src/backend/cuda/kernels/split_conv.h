// Arguments of kernels/split_conv.cu, shared with the host side.
#pragma once

#include "backend/cuda/kernels/divisor.h"

namespace gacer::cuda {

/// A convolution of an image whose channels are neighbours, the pixels of its result following each
/// other. Strides in elements.
struct SplitConvArgs {
  int pixels;  ///< of the result, all images
  int filters;
  int channels;            ///< a multiple of 8
  Divisor chunks_per_tap;  ///< of 32 channels
  int chunks;              ///< of all taps
  int in_h, in_w;
  Divisor out_h, out_w, kernel_w;
  int stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
  int x_n, x_h, x_w;
  int y_w, operand_w;  ///< from a pixel to the next
  int operand_kind;    ///< SplitConvOperand
  int has_relu;        ///< of the prologue
  int activation;
  float alpha, beta;
};

/// What happens with the second operand before the activation.
enum SplitConvOperand { kNoOperand, kAddOperand, kMulOperand };

/// Most blocks that share a sum.
inline constexpr int kSplitConvMaxCluster = 8;

}  // namespace gacer::cuda
