#include <numeric>

#include "ops/data_movement.h"

// ONNX's Split operator (not the rule by which a batch is cut, which every operator has).
namespace gacer {
namespace {

std::vector<std::int64_t> part_sizes(const InferContext& context, std::int64_t total) {
  const auto parts = static_cast<std::int64_t>(context.node().outputs.size());
  if (context.has_input(1)) {
    std::vector<std::int64_t> sizes = context.constant_ints(1);
    const bool fits = static_cast<std::int64_t>(sizes.size()) == parts &&
                      std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0}) == total;
    if (!fits) {
      fail(ErrorKind::kModel, "Split: sizes {} for {} outputs of an axis of {}",
           Shape(sizes).to_string(), parts, total);
    }
    return sizes;
  }
  const std::int64_t asked = context.node().attributes.get_int("num_outputs", parts);
  if (asked != parts) fail(ErrorKind::kModel, "Split: num_outputs={} but {} outputs", asked, parts);
  // Equal parts; the last one is smaller when they do not divide the axis.
  const std::int64_t size = (total + parts - 1) / parts;
  if (!context.node().attributes.has("num_outputs") && total % parts != 0)
    fail(ErrorKind::kModel, "Split: an axis of {} into {} equal parts", total, parts);
  if (total - size * (parts - 1) < 0)
    fail(ErrorKind::kModel, "Split: an axis of {} into {} parts of {}", total, parts, size);
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(parts), size);
  sizes.back() = total - size * (parts - 1);
  return sizes;
}

std::vector<OutputType> infer(const InferContext& context) {
  Shape shape = context.shape(0);
  const int axis = axis_attribute(context.node(), 0, shape.rank());
  std::vector<OutputType> types;
  for (std::int64_t size : part_sizes(context, context.shape(0)[axis])) {
    shape[axis] = size;
    types.push_back({context.dtype(0), shape});
  }
  return types;
}

void evaluate(const EvalContext& context) {
  const TensorView& from = context.inputs[0];
  const int axis = axis_attribute(context.node, 0, from.shape.rank());
  const AxisView whole = view_along(from.shape, axis);
  const auto parts = static_cast<std::int64_t>(context.outputs.size());
  std::vector<std::int64_t> sizes(context.outputs.size(), (whole.size + parts - 1) / parts);
  if (context.has_input(1)) sizes = ints_of(context.inputs[1]);
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < context.outputs.size(); ++i) {
    const TensorView& to = context.outputs[i];
    const std::int64_t run = (to ? to.shape[axis] : sizes[i]) * whole.inner;
    if (!to) {
      offset += run;
      continue;
    }
    copy_box(from, to,
             {.from_offset = offset,
              .dims = {whole.outer, run},
              .from_strides = {whole.size * whole.inner, 1},
              .to_strides = {run, 1}},
             context.team);
    offset += run;
  }
}

SplitResult split(const SplitContext& context) {
  return split_keep_axis(context,
                         std::array{axis_attribute(context.node, 0, context.shape(0).rank())});
}

void import_split(ImportContext& context) {
  if (context.opset < 13) attribute_to_input(context, "split", 1);
}

}  // namespace

const OpDef& op_split() {
  static const OpDef kDef{.name = "Split",
                          .infer = infer,
                          .evaluate = evaluate,
                          .split = split,
                          .import = import_split};
  return kDef;
}

}  // namespace gacer
