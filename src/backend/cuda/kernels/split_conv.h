// Arguments of kernels/split_conv.cu, shared with the host side.
#pragma once

namespace gacer::cuda {

/// A convolution of an image whose channels are neighbours, the pixels of its result following each
/// other. Strides in elements.
struct SplitConvArgs {
  int pixels;  ///< of the result, all images
  int filters;
  int channels;        ///< a multiple of 8
  int chunks_per_tap;  ///< of 32 channels
  int chunks;          ///< of all taps
  int in_h, in_w, out_h, out_w;
  int kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
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

/// Warps that a block may have: large tiles need the registers of more.
constexpr int split_conv_max_warps(int tiles, int groups) { return tiles * groups >= 8 ? 8 : 16; }

/// Loads of 16 bytes that a thread makes for 32 channels of one tap.
constexpr int split_conv_loads(int tiles, int groups) { return 2 * tiles + groups; }

/// Chunks of 32 channels that a warp loads before it multiplies: as many as the registers hold.
constexpr int split_conv_unroll(int tiles, int groups) {
  return split_conv_loads(tiles, groups) <= 6 ? 4 : split_conv_loads(tiles, groups) <= 12 ? 2 : 1;
}

}  // namespace gacer::cuda
