#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "graph/graph.h"

namespace gacer {

/// The sliding windows of a convolution or pooling along its spatial axes, with every default and
/// `auto_pad` resolved. Position o of the output covers input o*stride - pad_begin + k*dilation.
struct Windows {
  std::vector<std::int64_t> in;  ///< spatial sizes of the input
  std::vector<std::int64_t> out;
  std::vector<std::int64_t> kernel;
  std::vector<std::int64_t> strides;
  std::vector<std::int64_t> dilations;
  std::vector<std::int64_t> pads_begin;
  std::vector<std::int64_t> pads_end;

  int rank() const { return static_cast<int>(kernel.size()); }
  std::int64_t kernel_volume() const;
  std::int64_t in_volume() const;
  std::int64_t out_volume() const;
};

/// Of a Conv (kernel from the weight's shape [M, C/g, k…]). Error{kModel} for wrong attributes.
Windows conv_windows(const Node& node, const Shape& input, const Shape& weight);
/// Of a pooling operator (kernel from `kernel_shape`; honours `ceil_mode`).
Windows pool_windows(const Node& node, const Shape& input);
/// Of a ConvTranspose, seen from its *output*: `in` is the node's output, `out` its input, so that
/// the same formula relates them. Honours output_padding and output_shape.
Windows conv_transpose_windows(const Node& node, const Shape& input, const Shape& weight);

/// The same with exactly three spatial axes, the missing ones in front and of size 1. Input of more
/// than three axes is Error{kUnsupported}.
struct Windows3 {
  using Triple = std::array<std::int64_t, 3>;
  Triple in{1, 1, 1}, out{1, 1, 1}, kernel{1, 1, 1}, strides{1, 1, 1}, dilations{1, 1, 1},
      pads_begin{0, 0, 0}, pads_end{0, 0, 0};
};
Windows3 to_windows3(const Windows& windows);

/// [N, channels, spatial…]
Shape image_shape(std::int64_t n, std::int64_t channels, const std::vector<std::int64_t>& spatial);

}  // namespace gacer
