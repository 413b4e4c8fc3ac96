#include <algorithm>
#include <cstring>
#include <vector>

#include "base/dtype.h"
#include "ops/common.h"
#include "ops/resize_plan.h"

namespace gacer {
namespace {

TensorView constant_view(const InferContext& context, int input) {
  if (!context.has_input(input)) return {};
  const Tensor* tensor = context.constant(input);
  if (tensor == nullptr)
    fail(ErrorKind::kUnsupported, "input {} ('{}') must be a constant: shapes are static", input,
         context.input(input).name);
  return TensorView::of(*tensor);
}

bool is_nearest(const Node& node) {
  return node.attributes.get_string("mode", "nearest") == "nearest";
}

std::vector<OutputType> infer(const InferContext& context) {
  const Node& node = context.node();
  if (!is_nearest(node)) require_float(context, 0);
  const bool crops = node.attributes.get_string("coordinate_transformation_mode", "half_pixel") ==
                     "tf_crop_and_resize";
  const ResizeOperands operands =
      resize_operands(crops ? constant_view(context, 1) : TensorView(), constant_view(context, 2),
                      constant_view(context, 3));
  const Shape out = resize_shape(node, context.shape(0), operands);
  plan_resize(node, context.shape(0), out, operands);
  return {{context.dtype(0), out}};
}

ResizeOperands operands_of(const EvalContext& context) {
  const auto view = [&](std::size_t i) {
    return context.has_input(i) ? context.inputs[i] : TensorView();
  };
  return resize_operands(view(1), view(2), view(3));
}

/// Interpolates along one axis from `in` to `out`, which differ in that axis only.
void resize_axis(const ResizeAxis& plan, const Shape& in_shape, int axis, std::int64_t out_size,
                 const float* in, float* out, Team& team) {
  const std::int64_t outer = product(in_shape, 0, axis);
  const std::int64_t inner = product(in_shape, axis + 1, in_shape.rank());
  team.parallel_for(outer * out_size, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const float* block = in + i / out_size * in_shape[axis] * inner;
      float* row = out + i * inner;
      std::fill_n(row, inner, 0.0F);
      for (int tap = 0; tap < plan.taps; ++tap) {
        const auto at = static_cast<std::size_t>(i % out_size * plan.taps + tap);
        const float weight = plan.weight[at];
        const float* from = block + plan.index[at] * inner;
        for (std::int64_t j = 0; j < inner; ++j) row[j] += weight * from[j];
      }
    }
  });
}

void evaluate_interpolated(const EvalContext& context) {
  const TensorView& x = context.inputs[0];
  const TensorView& y = context.outputs[0];
  const auto plan = plan_resize(context.node, x.shape, y.shape, operands_of(context));
  std::vector<float> current(x.flat<float>().begin(), x.flat<float>().end());
  std::vector<float> next;
  Shape shape = x.shape;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const ResizeAxis& own = plan[static_cast<std::size_t>(axis)];
    if (own.is_identity) continue;
    Shape resized = shape;
    resized[axis] = y.shape[axis];
    next.resize(static_cast<std::size_t>(resized.num_elements()));
    resize_axis(own, shape, axis, resized[axis], current.data(), next.data(), context.team);
    current.swap(next);
    shape = resized;
  }
  std::copy(current.begin(), current.end(), y.flat<float>().begin());
}

/// Every output element is one input element: any type, by its bytes.
void evaluate_nearest(const EvalContext& context) {
  const TensorView& x = context.inputs[0];
  const TensorView& y = context.outputs[0];
  const auto plan = plan_resize(context.node, x.shape, y.shape, operands_of(context));
  const std::size_t size = size_of(x.dtype);
  const int rank = x.shape.rank();
  const auto in_strides = x.shape.row_major_strides();
  const auto out_strides = y.shape.row_major_strides();
  context.team.parallel_for(y.num_elements(), 1 << 14, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      std::int64_t from = 0;
      std::int64_t rest = i;
      for (int axis = 0; axis < rank; ++axis) {
        const auto a = static_cast<std::size_t>(axis);
        const std::int64_t at = rest / out_strides[a];
        rest %= out_strides[a];
        from += in_strides[a] *
                (plan[a].is_identity ? at : plan[a].index[static_cast<std::size_t>(at)]);
      }
      std::memcpy(y.data + static_cast<std::size_t>(i) * size,
                  x.data + static_cast<std::size_t>(from) * size, size);
    }
  });
}

/// Output positions that lie outside of the input show a constant (floats only).
void fill_outside(const EvalContext& context) {
  const TensorView& y = context.outputs[0];
  const auto plan =
      plan_resize(context.node, context.inputs[0].shape, y.shape, operands_of(context));
  const auto is_any = [](const ResizeAxis& axis) {
    return std::find(axis.is_outside.begin(), axis.is_outside.end(), true) != axis.is_outside.end();
  };
  if (std::none_of(plan.begin(), plan.end(), is_any)) return;
  const float value = context.node.attributes.get_float("extrapolation_value", 0.0F);
  const auto strides = y.shape.row_major_strides();
  for (std::int64_t i = 0; i < y.num_elements(); ++i)
    for (int axis = 0; axis < y.shape.rank(); ++axis) {
      const auto a = static_cast<std::size_t>(axis);
      const auto at = static_cast<std::size_t>(i / strides[a] % y.shape[axis]);
      if (!plan[a].is_identity && plan[a].is_outside[at]) store_f32(y, i, value);
    }
}

void evaluate(const EvalContext& context) {
  if (is_nearest(context.node))
    evaluate_nearest(context);
  else
    evaluate_in_f32(context, evaluate_interpolated);
  if (is_float(context.outputs[0].dtype)) fill_outside(context);
}

Cost cost(const Graph& graph, const Node& node) {
  const double bytes = operand_bytes(graph, node);
  if (is_nearest(node)) return {0, bytes};
  const bool is_cubic = node.attributes.get_string("mode", "") == "cubic";
  // Separable: each resized axis costs its taps, most of them at the output's size.
  const Shape& in = graph.value(node.inputs[0]).shape;
  const Shape& out = graph.value(node.outputs[0]).shape;
  int resized = 0;
  for (int axis = 0; axis < in.rank(); ++axis) resized += in[axis] != out[axis] ? 1 : 0;
  return {output_elements(graph, node) * resized * (is_cubic ? 8.0 : 4.0), bytes};
}

SplitResult split(const SplitContext& context) {
  const std::vector<int> axes = resize_axes(context.node, context.shape(0).rank());
  const bool keeps_ratio =
      context.node.attributes.get_string("keep_aspect_ratio_policy", "stretch") != "stretch";
  const bool crops = context.node.attributes.get_string("coordinate_transformation_mode",
                                                        "half_pixel") == "tf_crop_and_resize";
  std::vector<int> mixed;
  for (const int axis : axes)
    if (keeps_ratio || crops || context.shape(0)[axis] != context.output_shape()[axis])
      mixed.push_back(axis);
  return split_keep_axis(context, mixed);
}

/// An operand that older files give as an empty tensor is an absent one.
void drop_empty_inputs(ImportContext& context) {
  for (std::size_t i = 1; i < context.node.inputs.size(); ++i) {
    ValueId& input = context.node.inputs[i];
    if (input != kNone && context.graph.value(input).shape.num_elements() == 0) input = kNone;
  }
}

/// Resize of opset 10 and Upsample: scales only, positions scaled from the corner.
void import_scales(ImportContext& context, ValueId scales) {
  Node& node = context.node;
  node.op = "Resize";
  node.inputs = {node.inputs[0], kNone, scales};
  node.num_op_inputs = 3;
  if (node.attributes.get_string("mode", "nearest") == "bilinear")
    node.attributes.set("mode", std::string("linear"));
  node.attributes.set("coordinate_transformation_mode", std::string("asymmetric"));
  node.attributes.set("nearest_mode", std::string("floor"));
}

void import_resize(ImportContext& context) {
  if (context.opset < 11 && context.node.inputs.size() > 1)
    import_scales(context, context.node.inputs[1]);
  drop_empty_inputs(context);
}

void import_upsample(ImportContext& context) {
  attribute_to_input(context, "scales", 1);
  if (context.node.inputs.size() < 2) fail(ErrorKind::kModel, "no scales");
  import_scales(context, context.node.inputs[1]);
}

}  // namespace

const OpDef& op_resize() {
  static const OpDef def{.name = "Resize",
                         .min_opset = 10,
                         .infer = infer,
                         .evaluate = evaluate,
                         .cost = cost,
                         .split = split,
                         .import = import_resize};
  return def;
}

/// Import makes it a Resize.
const OpDef& op_upsample() {
  static const OpDef def{.name = "Upsample",
                         .min_opset = 7,
                         .max_opset = 9,
                         .infer = infer,
                         .evaluate = evaluate,
                         .cost = cost,
                         .split = split,
                         .import = import_upsample};
  return def;
}

}  // namespace gacer
