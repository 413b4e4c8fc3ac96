#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/dtype.h"
#include "ops/cast.h"
#include "ops/common.h"

// QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear: y = round(x / scale) + zero point.
namespace gacer {
namespace {

bool is_quantized(DType dtype) {
  return dtype == DType::kI8 || dtype == DType::kU8 || dtype == DType::kI16 ||
         dtype == DType::kU16 || dtype == DType::kI32;
}

/// Element strides of a scale or zero point along the axes of `x`: one for all (all 0), one per
/// position of the axis, or one per block (`block` positions of the axis share one).
struct ScaleIndex {
  std::vector<std::int64_t> strides;
  int axis = 0;
  std::int64_t block = 1;
};

ScaleIndex index_scale(const Node& node, const Shape& x, const Shape& scale) {
  ScaleIndex index;
  index.strides.assign(static_cast<std::size_t>(x.rank()), 0);
  if (scale.num_elements() == 1 && scale.rank() <= 1) return index;
  index.axis = normalize_axis(node.attributes.get_int("axis", 1), x.rank());
  index.block = std::max<std::int64_t>(1, node.attributes.get_int("block_size", 0));
  if (scale.rank() == 1 && index.block == 1) {
    if (scale[0] != x[index.axis])
      fail(ErrorKind::kModel, "scale {} for axis {} of {}", scale.to_string(), index.axis,
           x.to_string());
    index.strides[static_cast<std::size_t>(index.axis)] = 1;
    return index;
  }
  bool agrees = scale.rank() == x.rank();
  for (int axis = 0; agrees && axis < x.rank(); ++axis)
    agrees = axis == index.axis ? scale[axis] == (x[axis] + index.block - 1) / index.block
                                : scale[axis] == x[axis];
  if (!agrees)
    fail(ErrorKind::kModel, "scale {} for blocks of {} on axis {} of {}", scale.to_string(),
         index.block, index.axis, x.to_string());
  index.strides = scale.row_major_strides();
  return index;
}

/// Calls body(element, its scale's element) for all of x.
template <typename Body>
void for_each_scaled(const Node& node, const Shape& x, const Shape& scale, const Body& body) {
  const ScaleIndex index = index_scale(node, x, scale);
  const auto own = x.row_major_strides();
  for (std::int64_t i = 0; i < x.num_elements(); ++i) {
    std::int64_t at = 0;
    for (int axis = 0; axis < x.rank(); ++axis) {
      const auto a = static_cast<std::size_t>(axis);
      if (index.strides[a] == 0) continue;
      std::int64_t position = i / own[a] % x[axis];
      if (axis == index.axis) position /= index.block;
      at += position * index.strides[a];
    }
    body(i, at);
  }
}

/// std::nearbyint rounds halves to even in the default rounding mode.
template <typename T>
T saturate(float rounded, std::int64_t zero_point) {
  const double value = static_cast<double>(rounded) + static_cast<double>(zero_point);
  const double lowest = static_cast<double>(std::numeric_limits<T>::lowest());
  const double highest = static_cast<double>(std::numeric_limits<T>::max());
  return static_cast<T>(std::clamp(value, lowest, highest));
}

void check_zero_point(const InferContext& context) {
  if (context.has_input(2) && context.shape(2).num_elements() != context.shape(1).num_elements())
    fail(ErrorKind::kModel, "zero point {} for scale {}", context.shape(2).to_string(),
         context.shape(1).to_string());
}

std::vector<OutputType> infer_quantize(const InferContext& context) {
  const std::int64_t stated = context.node().attributes.get_int("output_dtype", 0);
  DType dtype = stated != 0 ? dtype_of_onnx(stated) : DType::kU8;
  if (context.has_input(2)) dtype = context.dtype(2);
  if (!is_quantized(dtype) || dtype == DType::kI32)
    fail(ErrorKind::kUnsupported, "quantizing to {}", to_string(dtype));
  if (!is_float(context.dtype(0)) && context.dtype(0) != DType::kI32)
    fail(ErrorKind::kUnsupported, "quantizing {}", to_string(context.dtype(0)));
  require_float(context, 1);
  check_zero_point(context);
  index_scale(context.node(), context.shape(0), context.shape(1));
  return {{dtype, context.shape(0)}};
}

void evaluate_quantize(const EvalContext& context) {
  const TensorView& x = context.inputs[0];
  const TensorView& scale = context.inputs[1];
  std::vector<std::int64_t> zero_points(static_cast<std::size_t>(scale.num_elements()), 0);
  if (context.has_input(2)) zero_points = ints_of(context.inputs[2]);
  dispatch_dtype(context.outputs[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      const auto y = context.outputs[0].flat<T>();
      for_each_scaled(context.node, x.shape, scale.shape, [&](std::int64_t i, std::int64_t at) {
        const float value =
            is_float(x.dtype)
                ? load_f32(x, i)
                : static_cast<float>(reinterpret_cast<const std::int32_t*>(x.data)[i]);
        y[static_cast<std::size_t>(i)] = saturate<T>(std::nearbyint(value / load_f32(scale, at)),
                                                     zero_points[static_cast<std::size_t>(at)]);
      });
    } else {
      fail(ErrorKind::kInternal, "quantizing to {}", to_string(dtype_of<T>()));
    }
  });
}

std::vector<OutputType> infer_dequantize(const InferContext& context) {
  if (!is_quantized(context.dtype(0)))
    fail(ErrorKind::kUnsupported, "dequantizing {}", to_string(context.dtype(0)));
  require_float(context, 1);
  check_zero_point(context);
  index_scale(context.node(), context.shape(0), context.shape(1));
  const std::int64_t stated = context.node().attributes.get_int("output_dtype", 0);
  return {{stated != 0 ? dtype_of_onnx(stated) : context.dtype(1), context.shape(0)}};
}

void evaluate_dequantize(const EvalContext& context) {
  const TensorView& scale = context.inputs[1];
  const std::vector<std::int64_t> x = ints_of(context.inputs[0]);
  std::vector<std::int64_t> zero_points(static_cast<std::size_t>(scale.num_elements()), 0);
  if (context.has_input(2)) zero_points = ints_of(context.inputs[2]);
  for_each_scaled(
      context.node, context.inputs[0].shape, scale.shape, [&](std::int64_t i, std::int64_t at) {
        const std::int64_t centred =
            x[static_cast<std::size_t>(i)] - zero_points[static_cast<std::size_t>(at)];
        store_f32(context.outputs[0], i, static_cast<float>(centred) * load_f32(scale, at));
      });
}

Cost cost(const Graph& graph, const Node& node) {
  return {3 * output_elements(graph, node), operand_bytes(graph, node)};
}

SplitResult split(const SplitContext& context) {
  SplitResult result = split_keep_axis(context, {});
  if (!result) return result;
  const ScaleIndex index = index_scale(context.node, context.shape(0), context.shape(1));
  if (index.strides[static_cast<std::size_t>(context.inputs[0]->axis)] != 0)
    return refuse("the scale {} differs along axis {}, which holds the batch",
                  context.shape(1).to_string(), context.inputs[0]->axis);
  return result;
}

std::vector<OutputType> infer_dynamic(const InferContext& context) {
  if (context.dtype(0) != DType::kF32)
    fail(ErrorKind::kUnsupported, "quantizing {}", to_string(context.dtype(0)));
  return {{DType::kU8, context.shape(0)}, {DType::kF32, Shape{}}, {DType::kU8, Shape{}}};
}

void evaluate_dynamic(const EvalContext& context) {
  const auto x = context.inputs[0].flat<float>();
  float lowest = 0;
  float highest = 0;
  for (const float value : x) {
    lowest = std::min(lowest, value);
    highest = std::max(highest, value);
  }
  const float scale = (lowest == highest ? 1.0F : highest - lowest) / 255.0F;
  const float zero_point = std::nearbyint(std::clamp(-lowest / scale, 0.0F, 255.0F));
  const auto y = context.outputs[0].flat<std::uint8_t>();
  for (std::size_t i = 0; i < x.size(); ++i)
    y[i] =
        saturate<std::uint8_t>(std::nearbyint(x[i] / scale), static_cast<std::int64_t>(zero_point));
  if (context.outputs.size() > 1 && context.outputs[1]) context.outputs[1].flat<float>()[0] = scale;
  if (context.outputs.size() > 2 && context.outputs[2])
    context.outputs[2].flat<std::uint8_t>()[0] = static_cast<std::uint8_t>(zero_point);
}

}  // namespace

const OpDef& op_quantize_linear() {
  static const OpDef def{.name = "QuantizeLinear",
                         .min_opset = 10,
                         .infer = infer_quantize,
                         .evaluate = evaluate_quantize,
                         .cost = cost,
                         .split = split};
  return def;
}

const OpDef& op_dequantize_linear() {
  static const OpDef def{.name = "DequantizeLinear",
                         .min_opset = 10,
                         .infer = infer_dequantize,
                         .evaluate = evaluate_dequantize,
                         .cost = cost,
                         .split = split};
  return def;
}

/// Never split: scale and zero point are of the whole tensor.
const OpDef& op_dynamic_quantize_linear() {
  static const OpDef def{.name = "DynamicQuantizeLinear",
                         .min_opset = 11,
                         .infer = infer_dynamic,
                         .evaluate = evaluate_dynamic,
                         .cost = cost};
  return def;
}

}  // namespace gacer
