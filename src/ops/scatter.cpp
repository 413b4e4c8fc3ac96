#include <algorithm>
#include <cstring>

#include "ops/data_movement.h"
#include "ops/elementwise.h"

// ScatterElements (and Scatter, its old name) and ScatterND: a copy of the data in which the
// updates are written, or combined with what is there, in order.
namespace gacer {
namespace {

enum class Reduction { kNone, kAdd, kMul, kMin, kMax };

Reduction reduction_of(const Node& node) {
  const std::string name = node.attributes.get_string("reduction", "none");
  if (name == "none") return Reduction::kNone;
  if (name == "add") return Reduction::kAdd;
  if (name == "mul") return Reduction::kMul;
  if (name == "min") return Reduction::kMin;
  if (name == "max") return Reduction::kMax;
  fail(ErrorKind::kModel, "reduction '{}', expected none, add, mul, min or max", name);
}

template <typename T>
void combine(T& target, T update, Reduction reduction) {
  const auto a = load(target);
  const auto b = load(update);
  switch (reduction) {
    case Reduction::kNone:
      target = update;
      return;
    case Reduction::kAdd:
      target = static_cast<T>(a + b);
      return;
    case Reduction::kMul:
      target = static_cast<T>(a * b);
      return;
    case Reduction::kMin:
      target = static_cast<T>(std::min(a, b));
      return;
    case Reduction::kMax:
      target = static_cast<T>(std::max(a, b));
      return;
  }
}

void check_operands(const InferContext& context) {
  if (context.dtype(1) != DType::kI64 && context.dtype(1) != DType::kI32)
    fail(ErrorKind::kModel, "indices have type {}, expected i32 or i64",
         to_string(context.dtype(1)));
  if (context.dtype(2) != context.dtype(0))
    fail(ErrorKind::kModel, "updates have type {}, the data {}", to_string(context.dtype(2)),
         to_string(context.dtype(0)));
  if (reduction_of(context.node()) != Reduction::kNone) check_type(context, 0, TypeSet::kNumeric);
}

void copy_data(const EvalContext& context) {
  const TensorView& data = context.inputs[0];
  if (data.data == context.outputs[0].data) return;
  copy_box(data, context.outputs[0],
           {.dims = {data.num_elements()}, .from_strides = {1}, .to_strides = {1}}, context.team);
}

// ---- ScatterElements -------------------------------------------------------------------------

std::vector<OutputType> infer_elements(const InferContext& context) {
  check_operands(context);
  const Shape& data = context.shape(0);
  const Shape& indices = context.shape(1);
  const int axis = axis_attribute(context.node(), 0, data.rank());
  bool fits = indices.rank() == data.rank() && indices == context.shape(2);
  for (int k = 0; fits && k < data.rank(); ++k) fits = k == axis || indices[k] <= data[k];
  if (!fits) {
    fail(ErrorKind::kModel, "ScatterElements on axis {}: indices {}, updates {}, data {}", axis,
         indices.to_string(), context.shape(2).to_string(), data.to_string());
  }
  return {{context.dtype(0), data}};
}

void evaluate_elements(const EvalContext& context) {
  copy_data(context);
  const TensorView& out = context.outputs[0];
  const TensorView& updates = context.inputs[2];
  const int axis = axis_attribute(context.node, 0, out.shape.rank());
  const Reduction reduction = reduction_of(context.node);
  const std::vector<std::int64_t> indices = ints_of(context.inputs[1]);
  std::array<std::vector<std::int64_t>, 1> strides{out.strides};
  strides[0][static_cast<std::size_t>(axis)] = 0;
  const std::int64_t step = out.strides[static_cast<std::size_t>(axis)];
  // In order on one thread: indices may repeat.
  dispatch_dtype(out.dtype, [&](auto tag) {
    using T = decltype(tag);
    auto* target = reinterpret_cast<T*>(out.data);
    const auto* update = reinterpret_cast<const T*>(updates.data);
    for_each_broadcast(updates.shape, strides, 0, updates.num_elements(),
                       [&](std::int64_t i, const auto& offset) {
                         const std::int64_t index =
                             normalize_index(indices[static_cast<std::size_t>(i)], out.shape[axis]);
                         combine(target[offset[0] + index * step], update[i], reduction);
                       });
  });
}

SplitResult split_elements(const SplitContext& context) {
  const int axis = axis_attribute(context.node, 0, context.shape(0).rank());
  const auto& data = context.inputs[0];
  if (!data || data != context.inputs[1] || data != context.inputs[2])
    return refuse("data, indices and updates do not all carry the batch on the same axis");
  if (data->axis == axis) return refuse("elements are placed along the batch's axis {}", axis);
  return all_outputs(context, *data);
}

/// Scatter was renamed in opset 11.
void import_scatter(ImportContext& context) { context.node.op = "ScatterElements"; }

// ---- ScatterND -------------------------------------------------------------------------------

std::vector<OutputType> infer_nd(const InferContext& context) {
  check_operands(context);
  const Shape& data = context.shape(0);
  const Shape& indices = context.shape(1);
  const int depth =
      indices.rank() > 0 ? static_cast<int>(indices[indices.rank() - 1]) : data.rank() + 1;
  bool fits = depth >= 1 && depth <= data.rank();
  if (fits) {
    std::vector<std::int64_t> dims(indices.begin(), indices.end() - 1);
    dims.insert(dims.end(), data.begin() + depth, data.end());
    fits = Shape(std::move(dims)) == context.shape(2);
  }
  if (!fits) {
    fail(ErrorKind::kModel, "ScatterND: indices {}, updates {}, data {}", indices.to_string(),
         context.shape(2).to_string(), data.to_string());
  }
  return {{context.dtype(0), data}};
}

void evaluate_nd(const EvalContext& context) {
  copy_data(context);
  const TensorView& out = context.outputs[0];
  const Shape& tuples = context.inputs[1].shape;
  const std::vector<std::int64_t> indices = ints_of(context.inputs[1]);
  const int depth = static_cast<int>(tuples[tuples.rank() - 1]);
  const std::int64_t num_tuples = product(tuples, 0, tuples.rank() - 1);
  const std::int64_t run = product(out.shape, depth, out.shape.rank());
  const Reduction reduction = reduction_of(context.node);
  dispatch_dtype(out.dtype, [&](auto tag) {
    using T = decltype(tag);
    auto* target = reinterpret_cast<T*>(out.data);
    const auto* update = reinterpret_cast<const T*>(context.inputs[2].data);
    for (std::int64_t i = 0; i < num_tuples; ++i) {
      std::int64_t offset = 0;
      for (int k = 0; k < depth; ++k) {
        const std::int64_t index = indices[static_cast<std::size_t>(i * depth + k)];
        offset += normalize_index(index, out.shape[k]) * out.strides[static_cast<std::size_t>(k)];
      }
      for (std::int64_t k = 0; k < run; ++k)
        combine(target[offset + k], update[i * run + k], reduction);
    }
  });
}

SplitResult split_nd(const SplitContext& context) {
  const Shape& tuples = context.shape(1);
  const int depth = static_cast<int>(tuples[tuples.rank() - 1]);
  const auto& data = context.inputs[0];
  const auto& updates = context.inputs[2];
  if (!data || !updates || context.inputs[1])
    return refuse("the batch must be carried by data and updates, and not by indices");
  if (data->axis < depth)
    return refuse("elements are placed along the batch's axis {}", data->axis);
  if (updates->axis != data->axis - depth + tuples.rank() - 1 || updates->factor != data->factor)
    return refuse("data and updates carry the batch on different axes");
  return all_outputs(context, *data);
}

}  // namespace

const OpDef& op_scatter_elements() {
  static const OpDef kDef{.name = "ScatterElements",
                          .infer = infer_elements,
                          .evaluate = evaluate_elements,
                          .split = split_elements};
  return kDef;
}

const OpDef& op_scatter() {
  static const OpDef kDef{.name = "Scatter",
                          .infer = infer_elements,
                          .evaluate = evaluate_elements,
                          .split = split_elements,
                          .import = import_scatter};
  return kDef;
}

const OpDef& op_scatter_nd() {
  static const OpDef kDef{
      .name = "ScatterND", .infer = infer_nd, .evaluate = evaluate_nd, .split = split_nd};
  return kDef;
}

}  // namespace gacer
