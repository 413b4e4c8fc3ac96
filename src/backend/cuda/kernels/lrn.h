// Arguments of kernels/lrn.cu, shared with the host side.
#pragma once

namespace gacer::cuda {

/// y = x / (bias + scale * sum of squares of channels [c - before, c + after])^beta; strides in
/// elements, axes that are not there have size 1.
struct LrnArgs {
  long long images = 1;
  int channels = 1, height = 1, width = 1;
  int before = 0, after = 0;
  float scale = 0, beta = 0, bias = 0;
  long long x_n = 0, x_c = 0, x_h = 0, x_w = 0;
  long long y_n = 0, y_c = 0, y_h = 0, y_w = 0;
  bool is_channels_inner = false;
};

}  // namespace gacer::cuda
