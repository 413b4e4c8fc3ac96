#include "ops/resize_plan.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "ops/common.h"

namespace gacer {
namespace {

enum class Mode { kNearest, kLinear, kCubic };

Mode mode_of(const Node& node) {
  const std::string text = node.attributes.get_string("mode", "nearest");
  if (text == "nearest") return Mode::kNearest;
  if (text == "linear") return Mode::kLinear;
  if (text == "cubic") return Mode::kCubic;
  fail(ErrorKind::kModel, "mode is '{}'", text);
}

/// Scale of every axis; 1 for those that are not named.
std::vector<double> scales_of(const Node& node, const Shape& in, const Shape& out,
                              const ResizeOperands& operands) {
  std::vector<double> scales(static_cast<std::size_t>(in.rank()), 1.0);
  const std::vector<int> axes = resize_axes(node, in.rank());
  if (!operands.scales.empty()) {
    for (std::size_t i = 0; i < axes.size(); ++i)
      scales[static_cast<std::size_t>(axes[i])] = static_cast<double>(operands.scales[i]);
    return scales;
  }
  const std::string policy = node.attributes.get_string("keep_aspect_ratio_policy", "stretch");
  if (policy == "stretch") {
    for (const int axis : axes)
      scales[static_cast<std::size_t>(axis)] =
          static_cast<double>(out[axis]) / static_cast<double>(in[axis]);
    return scales;
  }
  if (policy != "not_larger" && policy != "not_smaller")
    fail(ErrorKind::kModel, "keep_aspect_ratio_policy is '{}'", policy);
  std::optional<double> common;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const double own = static_cast<double>(operands.sizes[i]) / static_cast<double>(in[axes[i]]);
    if (!common || (policy == "not_larger" ? own < *common : own > *common)) common = own;
  }
  for (const int axis : axes) scales[static_cast<std::size_t>(axis)] = common.value_or(1.0);
  return scales;
}

struct AxisGeometry {
  std::int64_t in = 0;
  std::int64_t out = 0;
  double scale = 1;
  double roi_begin = 0;
  double roi_end = 1;
};

/// Position in the input of output position `i`.
double source_position(const std::string& mode, const AxisGeometry& axis, std::int64_t i) {
  const auto in = static_cast<double>(axis.in);
  const auto at = static_cast<double>(i);
  const double length = axis.scale * in;
  const double half_pixel = (at + 0.5) / axis.scale - 0.5;
  if (mode == "half_pixel") return half_pixel;
  if (mode == "asymmetric") return at / axis.scale;
  if (mode == "align_corners") return length == 1 ? 0.0 : at * (in - 1) / (length - 1);
  if (mode == "pytorch_half_pixel") return length == 1 ? -0.5 : half_pixel;
  if (mode == "half_pixel_symmetric")
    return in / 2 * (1 - static_cast<double>(axis.out) / length) + half_pixel;
  if (mode == "tf_crop_and_resize") {
    const double span = axis.roi_end - axis.roi_begin;
    const double inner = length == 1 ? span * (in - 1) / 2 : at * span * (in - 1) / (length - 1);
    return inner + axis.roi_begin * (in - 1);
  }
  // Only in the operator's first version.
  if (mode == "tf_half_pixel_for_nn") return (at + 0.5) / axis.scale;
  fail(ErrorKind::kUnsupported, "coordinate_transformation_mode is '{}'", mode);
}

/// Weights of the input positions around a source position; `ratio` in (0, 1] is its distance from
/// the position on its left.
std::vector<double> linear_weights(double ratio, double scale, bool antialias) {
  if (!antialias) return {1 - ratio, ratio};
  scale = std::min(scale, 1.0);
  const int start = static_cast<int>(std::floor(-1 / scale)) + 1;
  std::vector<double> weights;
  double sum = 0;
  for (int i = start; i < start + 2 - 2 * start; ++i) {
    const double distance = std::abs((static_cast<double>(i) - ratio) * scale);
    weights.push_back(std::clamp(1 - distance, 0.0, 1.0));
    sum += weights.back();
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

double cubic_weight(double distance, double a) {
  const double x = std::abs(distance);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

std::vector<double> cubic_weights(double ratio, double scale, double a, bool antialias) {
  if (!antialias)
    return {cubic_weight(ratio + 1, a), cubic_weight(ratio, a), cubic_weight(1 - ratio, a),
            cubic_weight(2 - ratio, a)};
  scale = std::min(scale, 1.0);
  const int start = static_cast<int>(std::floor(-2 / scale)) + 1;
  std::vector<double> weights;
  double sum = 0;
  for (int i = start; i < 2 - start; ++i) {
    weights.push_back(cubic_weight(scale * (static_cast<double>(i) - ratio), a));
    sum += weights.back();
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

std::int64_t nearest_index(const std::string& mode, double position) {
  const double low = std::floor(position);
  if (position == low) return static_cast<std::int64_t>(low);
  const double ratio = position - low;
  bool up = false;
  if (mode == "round_prefer_floor")
    up = ratio > 0.5;
  else if (mode == "round_prefer_ceil")
    up = ratio >= 0.5;
  else if (mode == "ceil")
    up = true;
  else if (mode != "floor")
    fail(ErrorKind::kModel, "nearest_mode is '{}'", mode);
  return static_cast<std::int64_t>(low) + (up ? 1 : 0);
}

/// First input position that the weights around `position` belong to: the nearest `taps` ones, of
/// two equally near the left.
std::int64_t first_tap(double position, int taps) {
  const double low = std::floor(position);
  const double fraction = position - low;
  const auto left = static_cast<std::int64_t>(low);
  if (taps % 2 == 0) return left - taps / 2 + (fraction == 0 ? 0 : 1);
  return left - (taps - 1) / 2 + (fraction <= 0.5 ? 0 : 1);
}

ResizeAxis plan_axis(const Node& node, const AxisGeometry& geometry) {
  const Attributes& attributes = node.attributes;
  const Mode mode = mode_of(node);
  const std::string coordinates =
      attributes.get_string("coordinate_transformation_mode", "half_pixel");
  const std::string nearest = attributes.get_string("nearest_mode", "round_prefer_floor");
  const bool antialias = attributes.get_int("antialias", 0) != 0;
  const bool excludes_outside = attributes.get_int("exclude_outside", 0) != 0;
  const auto a = static_cast<double>(attributes.get_float("cubic_coeff_a", -0.75F));
  ResizeAxis axis;
  axis.is_identity = false;
  axis.is_outside.assign(static_cast<std::size_t>(geometry.out), false);
  for (std::int64_t i = 0; i < geometry.out; ++i) {
    const double position = source_position(coordinates, geometry, i);
    if (coordinates == "tf_crop_and_resize" &&
        (position < 0 || position > static_cast<double>(geometry.in - 1)))
      axis.is_outside[static_cast<std::size_t>(i)] = true;
    std::vector<double> weights{1.0};
    std::int64_t first = 0;
    if (mode == Mode::kNearest) {
      first = nearest_index(nearest, position);
    } else {
      const double low = std::floor(position);
      const double ratio = position == low ? 1.0 : position - low;
      weights = mode == Mode::kLinear ? linear_weights(ratio, geometry.scale, antialias)
                                      : cubic_weights(ratio, geometry.scale, a, antialias);
      first = first_tap(position, static_cast<int>(weights.size()));
    }
    axis.taps = static_cast<int>(weights.size());
    double sum = 0;
    for (int tap = 0; tap < axis.taps; ++tap) {
      const std::int64_t index = first + tap;
      double& weight = weights[static_cast<std::size_t>(tap)];
      if (excludes_outside && mode != Mode::kNearest && (index < 0 || index >= geometry.in))
        weight = 0;
      sum += weight;
      axis.index.push_back(std::clamp<std::int64_t>(index, 0, geometry.in - 1));
    }
    for (const double weight : weights)
      axis.weight.push_back(
          static_cast<float>(excludes_outside && sum != 0 ? weight / sum : weight));
  }
  return axis;
}

}  // namespace

std::vector<int> resize_axes(const Node& node, int rank) {
  std::vector<int> axes;
  if (!node.attributes.has("axes")) {
    for (int axis = 0; axis < rank; ++axis) axes.push_back(axis);
    return axes;
  }
  // In the order given: the operands follow it.
  for (const std::int64_t axis : node.attributes.get_ints("axes"))
    axes.push_back(normalize_axis(axis, rank));
  return axes;
}

ResizeOperands resize_operands(const TensorView& roi, const TensorView& scales,
                               const TensorView& sizes) {
  ResizeOperands operands;
  const auto floats = [](const TensorView& view, std::vector<float>& to) {
    if (view)
      for (std::int64_t i = 0; i < view.num_elements(); ++i) to.push_back(load_f32(view, i));
  };
  floats(roi, operands.roi);
  floats(scales, operands.scales);
  if (sizes) operands.sizes = ints_of(sizes);
  return operands;
}

Shape resize_shape(const Node& node, const Shape& in, const ResizeOperands& operands) {
  const std::vector<int> axes = resize_axes(node, in.rank());
  if (operands.scales.empty() == operands.sizes.empty())
    fail(ErrorKind::kModel, "exactly one of scales and sizes must be given");
  const std::size_t given = std::max(operands.scales.size(), operands.sizes.size());
  if (given != axes.size())
    fail(ErrorKind::kModel, "{} scales or sizes for {} axes", given, axes.size());
  // Beyond what any tensor holds: the plan of an axis lists its elements.
  constexpr double kMostElements = 1LL << 40;
  const auto check = [&](int axis, double size) {
    if (!(size >= 0 && size <= kMostElements) || (in[axis] == 0 && size > 0))
      fail(ErrorKind::kModel, "axis {} of {} resized to {}", axis, in.to_string(), size);
  };
  Shape out = in;
  if (!operands.scales.empty()) {
    for (std::size_t i = 0; i < axes.size(); ++i) {
      if (!(operands.scales[i] > 0)) fail(ErrorKind::kModel, "a scale is {}", operands.scales[i]);
      const double size =
          std::floor(static_cast<double>(in[axes[i]]) * static_cast<double>(operands.scales[i]));
      check(axes[i], size);
      out[axes[i]] = static_cast<std::int64_t>(size);
    }
    return out;
  }
  for (std::size_t i = 0; i < axes.size(); ++i) {
    check(axes[i], static_cast<double>(operands.sizes[i]));
    out[axes[i]] = operands.sizes[i];
  }
  if (node.attributes.get_string("keep_aspect_ratio_policy", "stretch") != "stretch") {
    const std::vector<double> scales = scales_of(node, in, out, operands);
    for (const int axis : axes)
      out[axis] = static_cast<std::int64_t>(
          scales[static_cast<std::size_t>(axis)] * static_cast<double>(in[axis]) + 0.5);
  }
  return out;
}

std::vector<ResizeAxis> plan_resize(const Node& node, const Shape& in, const Shape& out,
                                    const ResizeOperands& operands) {
  const std::vector<double> scales = scales_of(node, in, out, operands);
  const std::vector<int> axes = resize_axes(node, in.rank());
  const bool crops = node.attributes.get_string("coordinate_transformation_mode", "half_pixel") ==
                     "tf_crop_and_resize";
  if (crops && operands.roi.size() != 2 * axes.size())
    fail(ErrorKind::kModel, "roi has {} values for {} axes", operands.roi.size(), axes.size());
  std::vector<ResizeAxis> result(static_cast<std::size_t>(in.rank()));
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const int axis = axes[i];
    AxisGeometry geometry{in[axis], out[axis], scales[static_cast<std::size_t>(axis)]};
    if (crops) {
      geometry.roi_begin = static_cast<double>(operands.roi[i]);
      geometry.roi_end = static_cast<double>(operands.roi[i + axes.size()]);
    }
    const bool is_whole = geometry.roi_begin == 0 && geometry.roi_end == 1;
    if (geometry.in == geometry.out && std::abs(geometry.scale - 1) < 1e-9 && is_whole) continue;
    result[static_cast<std::size_t>(axis)] = plan_axis(node, geometry);
  }
  return result;
}

}  // namespace gacer
