// Arguments of kernels/conv_transpose.cu, shared with the host side.
#pragma once

namespace gacer::cuda {

/// A 2-D transposed convolution; strides in elements. Input position i and tap k meet at output
/// position i * stride - pad + k * dilation. Weights are packed as [tap][channel][filter].
struct ConvTransposeArgs {
  int images = 1, groups = 1;
  int channels = 1, filters = 1;  ///< of one group
  int in_h = 1, in_w = 1, out_h = 1, out_w = 1;
  int kernel_h = 1, kernel_w = 1;
  int stride_h = 1, stride_w = 1;
  int pad_h = 0, pad_w = 0;
  int dilation_h = 1, dilation_w = 1;
  long long x_n = 0, x_c = 0, x_h = 0, x_w = 0;
  long long y_n = 0, y_c = 0, y_h = 0, y_w = 0;
  bool stores_packs = false;  ///< filters are neighbours in y and packs of them are aligned
  int activation = 0;
  float alpha = 0, beta = 0;
};

}  // namespace gacer::cuda
