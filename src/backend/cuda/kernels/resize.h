// Arguments of kernels/resize.cu, shared with the host side.
#pragma once

namespace gacer::cuda {

/// Images of up to three spatial axes; strides in elements, axes that are not there have size 1.
/// Output position o of an axis is the sum of `taps` input positions, which a table lists.
struct ResizeArgs {
  long long images = 1;
  int channels = 1;
  int out_d = 1, out_h = 1, out_w = 1;
  int taps_d = 1, taps_h = 1, taps_w = 1;
  long long x_n = 0, x_c = 0, x_d = 0, x_h = 0, x_w = 0;
  long long y_n = 0, y_c = 0, y_d = 0, y_h = 0, y_w = 0;
  bool is_channels_inner = false;  ///< neighbouring threads make neighbouring channels
  float outside = 0;               ///< what positions with a table entry below 0 show
};

}  // namespace gacer::cuda
