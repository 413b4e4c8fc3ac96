#include "ops/data_movement.h"

// Expand and Tile: elements repeated along axes.
namespace gacer {
namespace {

std::vector<OutputType> infer_expand(const InferContext& context) {
  const Shape target(context.constant_ints(1));
  for (std::int64_t dim : target)
    if (dim < 0) fail(ErrorKind::kModel, "Expand to {}", target.to_string());
  return {{context.dtype(0), broadcast_shapes(context.shape(0), target)}};
}

void evaluate_expand(const EvalContext& context) {
  const TensorView& from = context.inputs[0];
  const TensorView& to = context.outputs[0];
  copy_box(from, to,
           {.dims = to.shape.dims(),
            .from_strides = broadcast_strides(from.shape, to.shape),
            .to_strides = to.strides},
           context.team);
}

SplitResult split_expand(const SplitContext& context) {
  if (auto only = only_batched(context, {0}); !only) return Refusal{only.reason()};
  BatchAxis batch = *context.inputs[0];
  const std::int64_t size = context.shape(0)[batch.axis];
  batch.axis += context.output_shape().rank() - context.shape(0).rank();
  if (context.output_shape()[batch.axis] != size) {
    return refuse("the batch's axis is expanded from {} to {}", size,
                  context.output_shape()[batch.axis]);
  }
  return all_outputs(context, batch);
}

std::vector<OutputType> infer_tile(const InferContext& context) {
  Shape shape = context.shape(0);
  const std::vector<std::int64_t> repeats = context.constant_ints(1);
  if (static_cast<int>(repeats.size()) != shape.rank())
    fail(ErrorKind::kModel, "Tile: {} repeats for {}", repeats.size(), shape.to_string());
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const std::int64_t count = repeats[static_cast<std::size_t>(axis)];
    if (count < 0 || __builtin_mul_overflow(shape[axis], count, &shape[axis]))
      fail(ErrorKind::kModel, "Tile: {} repeats of axis {}", count, axis);
  }
  return {{context.dtype(0), std::move(shape)}};
}

void evaluate_tile(const EvalContext& context) {
  const TensorView& from = context.inputs[0];
  const TensorView& to = context.outputs[0];
  if (to.num_elements() == 0) return;
  // Each axis as (repeat, own): the repeat stands still in the source.
  BoxCopy box;
  for (int axis = 0; axis < to.shape.rank(); ++axis) {
    const auto i = static_cast<std::size_t>(axis);
    const std::int64_t own = from.shape[axis];
    box.dims.insert(box.dims.end(), {to.shape[axis] / own, own});
    box.from_strides.insert(box.from_strides.end(), {0, from.strides[i]});
    box.to_strides.insert(box.to_strides.end(), {own * to.strides[i], to.strides[i]});
  }
  copy_box(from, to, std::move(box), context.team);
}

SplitResult split_tile(const SplitContext& context) {
  if (auto only = only_batched(context, {0}); !only) return Refusal{only.reason()};
  const BatchAxis batch = *context.inputs[0];
  if (context.output_shape()[batch.axis] != context.shape(0)[batch.axis])
    return refuse("the batch's axis {} is repeated", batch.axis);
  return all_outputs(context, batch);
}

/// Opset 1 repeated one axis: inputs tiles and axis instead of repeats.
void import_tile(ImportContext& context) {
  if (context.opset < 6)
    fail(ErrorKind::kUnsupported, "Tile of opset {} (from 6 on is supported)", context.opset);
}

}  // namespace

const OpDef& op_expand() {
  static const OpDef kDef{
      .name = "Expand", .infer = infer_expand, .evaluate = evaluate_expand, .split = split_expand};
  return kDef;
}

const OpDef& op_tile() {
  static const OpDef kDef{.name = "Tile",
                          .infer = infer_tile,
                          .evaluate = evaluate_tile,
                          .split = split_tile,
                          .import = import_tile};
  return kDef;
}

}  // namespace gacer
