#pragma once

#include <cstdint>
#include <vector>

#include "base/tensor_view.h"
#include "graph/graph.h"

namespace gacer {

/// What one axis of a Resize does: output position i is the weighted sum of `taps` input positions.
struct ResizeAxis {
  bool is_identity = true;
  int taps = 1;
  std::vector<std::int64_t> index;  ///< [out * taps], within the input
  std::vector<float> weight;        ///< [out * taps]
  /// Output positions that show `extrapolation_value` instead (tf_crop_and_resize).
  std::vector<bool> is_outside;
};

/// The operands of a Resize by value; absent ones are empty.
struct ResizeOperands {
  std::vector<float> roi;
  std::vector<float> scales;
  std::vector<std::int64_t> sizes;
};
ResizeOperands resize_operands(const TensorView& roi, const TensorView& scales,
                               const TensorView& sizes);

/// The output's shape. Error{kModel} for operands or attributes that are wrong.
Shape resize_shape(const Node& node, const Shape& in, const ResizeOperands& operands);

/// One entry per axis, for an input and output of these shapes (of a chunk: axes that are not
/// resized follow them).
std::vector<ResizeAxis> plan_resize(const Node& node, const Shape& in, const Shape& out,
                                    const ResizeOperands& operands);

/// The axes that a Resize names: attribute `axes`, or all.
std::vector<int> resize_axes(const Node& node, int rank);

}  // namespace gacer
