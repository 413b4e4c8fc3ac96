#include <algorithm>
#include <cstring>

#include "ops/data_movement.h"

// Operators that give the same elements another shape, or the same one.
namespace gacer {
namespace {

std::vector<OutputType> infer_reshape(const InferContext& context) {
  const Shape& from = context.shape(0);
  std::vector<std::int64_t> dims = context.constant_ints(1);
  const std::string asked = Shape(dims).to_string();
  const bool zero_is_size = context.node().attributes.get_int("allowzero", 0) != 0;
  std::int64_t known = 1;
  std::optional<std::size_t> open;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] == 0 && !zero_is_size) {
      if (static_cast<int>(i) >= from.rank()) {
        fail(ErrorKind::kModel, "Reshape: {} keeps axis {}, which {} does not have", asked, i,
             from.to_string());
      }
      dims[i] = from[static_cast<int>(i)];
    }
    if (dims[i] == -1) {
      if (open) fail(ErrorKind::kModel, "Reshape: {} has more than one -1", asked);
      open = i;
    } else if (dims[i] < 0) {
      fail(ErrorKind::kModel, "Reshape: bad size in {}", asked);
    } else if (__builtin_mul_overflow(known, dims[i], &known)) {
      fail(ErrorKind::kModel, "Reshape: {} has more elements than can be counted", asked);
    }
  }
  const std::int64_t total = from.num_elements();
  if (open && known > 0) dims[*open] = total / known;
  const bool fits = open ? known > 0 && total % known == 0 : known == total;
  if (!fits) {
    fail(ErrorKind::kModel, "Reshape: {} has {} elements, which {} cannot hold", from.to_string(),
         total, asked);
  }
  return {{context.dtype(0), Shape(std::move(dims))}};
}

std::vector<OutputType> infer_flatten(const InferContext& context) {
  const Shape& from = context.shape(0);
  std::int64_t axis = context.node().attributes.get_int("axis", 1);
  if (axis < -from.rank() || axis > from.rank())
    fail(ErrorKind::kModel, "Flatten: axis {} of {}", axis, from.to_string());
  if (axis < 0) axis += from.rank();
  const int split = static_cast<int>(axis);
  return {{context.dtype(0), Shape{product(from, 0, split), product(from, split, from.rank())}}};
}

/// Axes that Squeeze removes; ascending.
std::vector<int> squeezed_axes(const InferContext& context) {
  const Shape& from = context.shape(0);
  if (context.has_input(1)) return normalize_axes(context.constant_ints(1), from.rank());
  std::vector<int> axes;
  for (int axis = 0; axis < from.rank(); ++axis)
    if (from[axis] == 1) axes.push_back(axis);
  return axes;
}

std::vector<OutputType> infer_squeeze(const InferContext& context) {
  const Shape& from = context.shape(0);
  const std::vector<int> axes = squeezed_axes(context);
  std::vector<std::int64_t> dims;
  for (int axis = 0; axis < from.rank(); ++axis) {
    if (std::find(axes.begin(), axes.end(), axis) == axes.end()) {
      dims.push_back(from[axis]);
    } else if (from[axis] != 1) {
      fail(ErrorKind::kModel, "Squeeze: axis {} of {} has size {}, not 1", axis, from.to_string(),
           from[axis]);
    }
  }
  return {{context.dtype(0), Shape(std::move(dims))}};
}

SplitResult split_squeeze(const SplitContext& context) {
  if (auto only = only_batched(context, {0}); !only) return Refusal{only.reason()};
  BatchAxis batch = *context.inputs[0];
  int before = 0;
  for (int axis : squeezed_axes(InferContext(context.graph, context.node))) {
    if (axis == batch.axis) return refuse("the batch's axis {} is removed", axis);
    before += axis < batch.axis ? 1 : 0;
  }
  batch.axis -= before;
  return all_outputs(context, batch);
}

/// Axes of the output that Unsqueeze adds; ascending.
std::vector<int> added_axes(const InferContext& context) {
  const std::vector<std::int64_t> axes = context.constant_ints(1);
  return normalize_axes(axes, context.shape(0).rank() + static_cast<int>(axes.size()));
}

std::vector<OutputType> infer_unsqueeze(const InferContext& context) {
  std::vector<std::int64_t> dims = context.shape(0).dims();
  for (int axis : added_axes(context)) dims.insert(dims.begin() + axis, 1);
  return {{context.dtype(0), Shape(std::move(dims))}};
}

SplitResult split_unsqueeze(const SplitContext& context) {
  if (auto only = only_batched(context, {0}); !only) return Refusal{only.reason()};
  BatchAxis batch = *context.inputs[0];
  for (int axis : added_axes(InferContext(context.graph, context.node)))
    if (axis <= batch.axis) ++batch.axis;
  return all_outputs(context, batch);
}

void import_reshape(ImportContext& context) {
  if (context.opset < 5) attribute_to_input(context, "shape", 1);
}

/// Before opset 13 the axes of Squeeze and Unsqueeze were an attribute.
void import_axes(ImportContext& context) {
  if (context.opset < 13) attribute_to_input(context, "axes", 1);
}

/// Data moves in a plain copy, on the team.
void evaluate_bytes(const EvalContext& context) {
  const TensorView& from = context.inputs[0];
  const TensorView& to = context.outputs[0];
  require(from.num_elements() == to.num_elements(), "copy {} to {}", from.shape.to_string(),
          to.shape.to_string());
  if (from.data == to.data) return;
  copy_box(from, to, {.dims = {from.num_elements()}, .from_strides = {1}, .to_strides = {1}},
           context.team);
}

SplitResult split_keep_first(const SplitContext& context) { return split_keep_axis(context, {}); }

// ---- Dropout: in inference the identity, and a mask of ones ---------------------------------

std::vector<OutputType> infer_dropout(const InferContext& context) {
  if (context.has_input(2)) {
    const Tensor* training = context.constant(2);
    if (training == nullptr || training->dtype() != DType::kBool || training->data<bool>()[0])
      fail(ErrorKind::kUnsupported, "Dropout in training mode");
  }
  return {{context.dtype(0), context.shape(0)}, {DType::kBool, context.shape(0)}};
}

void evaluate_dropout(const EvalContext& context) {
  evaluate_bytes(context);
  if (context.outputs.size() < 2 || !context.outputs[1]) return;
  const auto one = std::byte{1};
  fill_elements(context.outputs[1], &one, context.team);
}

void import_dropout(ImportContext& context) {
  if (context.opset < 7 && context.node.attributes.get_int("is_test", 0) == 0)
    fail(ErrorKind::kUnsupported, "Dropout of opset {} in training mode (is_test=0)",
         context.opset);
  for (const char* name : {"ratio", "is_test", "consumed_inputs"})
    context.node.attributes.erase(name);
}

}  // namespace

const OpDef& op_reshape() {
  static const OpDef kDef{.name = "Reshape",
                          .infer = infer_reshape,
                          .evaluate = evaluate_bytes,
                          .split = split_reshape,
                          .import = import_reshape};
  return kDef;
}

const OpDef& op_flatten() {
  static const OpDef kDef{.name = "Flatten",
                          .infer = infer_flatten,
                          .evaluate = evaluate_bytes,
                          .split = split_reshape};
  return kDef;
}

const OpDef& op_squeeze() {
  static const OpDef kDef{.name = "Squeeze",
                          .infer = infer_squeeze,
                          .evaluate = evaluate_bytes,
                          .split = split_squeeze,
                          .import = import_axes};
  return kDef;
}

const OpDef& op_unsqueeze() {
  static const OpDef kDef{.name = "Unsqueeze",
                          .infer = infer_unsqueeze,
                          .evaluate = evaluate_bytes,
                          .split = split_unsqueeze,
                          .import = import_axes};
  return kDef;
}

const OpDef& op_identity() {
  static const OpDef kDef{.name = "Identity",
                          .infer = infer_like_input,
                          .evaluate = evaluate_bytes,
                          .split = split_keep_first,
                          .is_pointwise = true};
  return kDef;
}

const OpDef& op_dropout() {
  static const OpDef kDef{.name = "Dropout",
                          .infer = infer_dropout,
                          .evaluate = evaluate_dropout,
                          .split = split_keep_first,
                          .import = import_dropout,
                          .is_pointwise = true};
  return kDef;
}

}  // namespace gacer
