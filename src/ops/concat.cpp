#include "ops/data_movement.h"

namespace gacer {
namespace {

std::vector<OutputType> infer(const InferContext& context) {
  if (!context.node().attributes.has("axis"))
    fail(ErrorKind::kModel, "attribute 'axis' is missing");
  Shape out = context.shape(0);
  const int axis = axis_attribute(context.node(), 0, out.rank());
  for (int i = 1; i < context.num_inputs(); ++i) {
    const Shape& shape = context.shape(i);
    bool fits = shape.rank() == out.rank() && context.dtype(i) == context.dtype(0);
    for (int k = 0; fits && k < out.rank(); ++k) fits = k == axis || shape[k] == out[k];
    if (!fits) {
      fail(ErrorKind::kModel, "Concat on axis {}: input {} is {} {}, input 0 is {} {}", axis, i,
           to_string(context.dtype(i)), shape.to_string(), to_string(context.dtype(0)),
           context.shape(0).to_string());
    }
    out[axis] += shape[axis];
  }
  return {{context.dtype(0), std::move(out)}};
}

void evaluate(const EvalContext& context) {
  const TensorView& to = context.outputs[0];
  const int axis = axis_attribute(context.node, 0, to.shape.rank());
  const AxisView whole = view_along(to.shape, axis);
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(context.node.num_op_inputs); ++i) {
    const std::int64_t run = context.inputs[i].shape[axis] * whole.inner;
    copy_box(context.inputs[i], to,
             {.to_offset = offset,
              .dims = {whole.outer, run},
              .from_strides = {run, 1},
              .to_strides = {whole.size * whole.inner, 1}},
             context.team);
    offset += run;
  }
}

SplitResult split(const SplitContext& context) {
  const int axis = axis_attribute(context.node, 0, context.output_shape().rank());
  for (int i = 0; i < context.node.num_op_inputs; ++i) {
    const auto& own = context.inputs[static_cast<std::size_t>(i)];
    if (!own) return refuse("input {} does not carry the batch, others do", i);
    if (own->axis == axis) return refuse("the inputs are joined along the batch's axis {}", axis);
    if (own != context.inputs[0])
      return refuse("inputs 0 and {} carry the batch on different axes", i);
  }
  return all_outputs(context, *context.inputs[0]);
}

/// Before opset 4 the axis was optional.
void import_concat(ImportContext& context) {
  if (context.opset < 4 && !context.node.attributes.has("axis"))
    context.node.attributes.set("axis", std::int64_t{1});
}

}  // namespace

const OpDef& op_concat() {
  static const OpDef kDef{.name = "Concat",
                          .infer = infer,
                          .evaluate = evaluate,
                          .split = split,
                          .import = import_concat};
  return kDef;
}

}  // namespace gacer
