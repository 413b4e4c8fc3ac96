#include <cstring>

#include "ops/data_movement.h"

// Gather, GatherElements and GatherND.
namespace gacer {
namespace {

void check_indices(const InferContext& context, int i) {
  const DType dtype = context.dtype(i);
  if (dtype != DType::kI32 && dtype != DType::kI64)
    fail(ErrorKind::kModel, "indices have type {}, expected i32 or i64", to_string(dtype));
}

/// Indices made absolute for an axis of `size`; Error{kModel} when one is out of range.
std::vector<std::int64_t> absolute_indices(const TensorView& view, std::int64_t size) {
  std::vector<std::int64_t> indices = ints_of(view);
  for (std::int64_t& index : indices) index = normalize_index(index, size);
  return indices;
}

// ---- Gather ----------------------------------------------------------------------------------

std::vector<OutputType> infer_gather(const InferContext& context) {
  check_indices(context, 1);
  const Shape& data = context.shape(0);
  const int axis = axis_attribute(context.node(), 0, data.rank());
  std::vector<std::int64_t> dims(data.begin(), data.begin() + axis);
  dims.insert(dims.end(), context.shape(1).begin(), context.shape(1).end());
  dims.insert(dims.end(), data.begin() + axis + 1, data.end());
  return {{context.dtype(0), Shape(std::move(dims))}};
}

void evaluate_gather(const EvalContext& context) {
  const TensorView& data = context.inputs[0];
  const AxisView view = view_along(data.shape, axis_attribute(context.node, 0, data.shape.rank()));
  const std::vector<std::int64_t> indices = absolute_indices(context.inputs[1], view.size);
  const auto count = static_cast<std::int64_t>(indices.size());
  const std::int64_t run = view.inner * static_cast<std::int64_t>(size_of(data.dtype));
  if (run == 0) return;
  context.team.parallel_for(
      view.outer * count, (1 << 16) / run + 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const std::int64_t row =
              i / count * view.size + indices[static_cast<std::size_t>(i % count)];
          std::memcpy(context.outputs[0].data + i * run, data.data + row * run,
                      static_cast<std::size_t>(run));
        }
      });
}

SplitResult split_gather(const SplitContext& context) {
  const int axis = axis_attribute(context.node, 0, context.shape(0).rank());
  const auto& data = context.inputs[0];
  const auto& indices = context.inputs[1];
  if (data && indices) return refuse("data and indices both carry the batch");
  if (indices) return all_outputs(context, {axis + indices->axis, indices->factor});
  if (data->axis == axis) return refuse("elements are picked along the batch's axis {}", axis);
  BatchAxis batch = *data;
  if (batch.axis > axis) batch.axis += context.shape(1).rank() - 1;
  return all_outputs(context, batch);
}

// ---- GatherElements --------------------------------------------------------------------------

std::vector<OutputType> infer_elements(const InferContext& context) {
  check_indices(context, 1);
  const Shape& data = context.shape(0);
  const Shape& indices = context.shape(1);
  const int axis = axis_attribute(context.node(), 0, data.rank());
  bool fits = data.rank() == indices.rank();
  for (int k = 0; fits && k < data.rank(); ++k) fits = k == axis || indices[k] <= data[k];
  if (!fits) {
    fail(ErrorKind::kModel, "GatherElements on axis {}: indices {} for data {}", axis,
         indices.to_string(), data.to_string());
  }
  return {{context.dtype(0), indices}};
}

void evaluate_elements(const EvalContext& context) {
  const TensorView& data = context.inputs[0];
  const TensorView& out = context.outputs[0];
  const int axis = axis_attribute(context.node, 0, data.shape.rank());
  const auto size = static_cast<std::int64_t>(size_of(data.dtype));
  const std::vector<std::int64_t> indices = absolute_indices(context.inputs[1], data.shape[axis]);
  // The position on the axis comes from the index, the others are the output's own.
  std::array<std::vector<std::int64_t>, 1> strides{data.strides};
  strides[0][static_cast<std::size_t>(axis)] = 0;
  const std::int64_t step = data.strides[static_cast<std::size_t>(axis)];
  context.team.parallel_for(out.num_elements(), 4096, [&](std::int64_t begin, std::int64_t end) {
    for_each_broadcast(out.shape, strides, begin, end, [&](std::int64_t i, const auto& offset) {
      const std::int64_t from = offset[0] + indices[static_cast<std::size_t>(i)] * step;
      std::memcpy(out.data + i * size, data.data + from * size, static_cast<std::size_t>(size));
    });
  });
}

SplitResult split_elements(const SplitContext& context) {
  const int axis = axis_attribute(context.node, 0, context.shape(0).rank());
  const auto& data = context.inputs[0];
  const auto& indices = context.inputs[1];
  if (!data && indices->axis == axis) return all_outputs(context, *indices);
  if (!data || data != indices)
    return refuse("data and indices do not carry the batch on the same axis");
  if (data->axis == axis) return refuse("elements are picked along the batch's axis {}", axis);
  return all_outputs(context, *data);
}

// ---- GatherND --------------------------------------------------------------------------------

std::vector<OutputType> infer_nd(const InferContext& context) {
  check_indices(context, 1);
  const Shape& data = context.shape(0);
  const Shape& indices = context.shape(1);
  const std::int64_t shared = context.node().attributes.get_int("batch_dims", 0);
  const std::int64_t depth = indices.rank() > 0 ? indices[indices.rank() - 1] : 0;
  bool fits = indices.rank() >= 1 && depth >= 1 && shared >= 0 && shared < indices.rank() &&
              shared + depth <= data.rank();
  for (int k = 0; fits && k < shared; ++k) fits = data[k] == indices[k];
  if (!fits) {
    fail(ErrorKind::kModel, "GatherND with batch_dims={}: indices {} for data {}", shared,
         indices.to_string(), data.to_string());
  }
  std::vector<std::int64_t> dims(indices.begin(), indices.end() - 1);
  dims.insert(dims.end(), data.begin() + shared + depth, data.end());
  return {{context.dtype(0), Shape(std::move(dims))}};
}

void evaluate_nd(const EvalContext& context) {
  const TensorView& data = context.inputs[0];
  const Shape& tuples = context.inputs[1].shape;
  const std::vector<std::int64_t> indices = ints_of(context.inputs[1]);
  const int shared = static_cast<int>(context.node.attributes.get_int("batch_dims", 0));
  const int depth = static_cast<int>(tuples[tuples.rank() - 1]);
  const std::int64_t num_tuples = product(tuples, 0, tuples.rank() - 1);
  const std::int64_t per_group = product(tuples, shared, tuples.rank() - 1);
  const std::int64_t group_stride = product(data.shape, shared, data.shape.rank());
  const std::int64_t run = product(data.shape, shared + depth, data.shape.rank()) *
                           static_cast<std::int64_t>(size_of(data.dtype));
  if (run == 0 || num_tuples == 0) return;
  for (std::int64_t i = 0; i < num_tuples; ++i) {
    std::int64_t from = i / per_group * group_stride;
    for (int k = 0; k < depth; ++k) {
      const std::int64_t index = indices[static_cast<std::size_t>(i * depth + k)];
      from += normalize_index(index, data.shape[shared + k]) *
              data.strides[static_cast<std::size_t>(shared + k)];
    }
    std::memcpy(context.outputs[0].data + i * run,
                data.data + from * static_cast<std::int64_t>(size_of(data.dtype)),
                static_cast<std::size_t>(run));
  }
}

/// Whether the first number of every index tuple is the tuple's own position on axis `axis`.
bool counts_positions(const Tensor& tensor, int axis) {
  const Shape& shape = tensor.shape();
  const std::vector<std::int64_t> indices = ints_of(tensor);
  const std::int64_t depth = shape[shape.rank() - 1];
  const std::int64_t per_position = product(shape, axis + 1, shape.rank() - 1);
  const std::int64_t num_tuples = product(shape, 0, shape.rank() - 1);
  for (std::int64_t i = 0; i < num_tuples; ++i)
    if (indices[static_cast<std::size_t>(i * depth)] != i / per_position % shape[axis])
      return false;
  return true;
}

/// Exporters spell "from the same item" as tuples that begin with the item's number; as one more
/// of `batch_dims` it can be split along the batch.
void import_nd(ImportContext& context) {
  Graph& graph = context.graph;
  Node& node = context.node;
  if (node.inputs.size() != 2 || !graph.is_constant(node.inputs[1])) return;
  const ValueId indices = node.inputs[1];
  const Tensor tensor = *graph.value(indices).constant;
  const Shape& shape = tensor.shape();
  const Shape data = graph.value(node.inputs[0]).shape;
  const auto shared = static_cast<int>(node.attributes.get_int("batch_dims", 0));
  if (shared < 0 || shared + 1 >= shape.rank() || shared >= data.rank() ||
      shape[shape.rank() - 1] < 2 || shape[shared] != data[shared] || !is_integer(tensor.dtype()) ||
      !counts_positions(tensor, shared))
    return;
  const auto number = [&](const char* what, std::int64_t value) {
    return graph.add_constant(node.name + what, Tensor::from<std::int64_t>({1}, {value}));
  };
  Node slice;
  slice.op = "Slice";
  slice.name = node.name + ":own";
  slice.inputs = {indices, number(":start", 1), number(":end", shape[shape.rank() - 1]),
                  number(":axis", shape.rank() - 1)};
  Value rest;
  rest.name = slice.name;
  node.inputs[1] = graph.add_value(std::move(rest));
  slice.outputs = {node.inputs[1]};
  node.attributes.set("batch_dims", std::int64_t{shared} + 1);
  infer_node(graph, graph.add_node(std::move(slice)));
}

SplitResult split_nd(const SplitContext& context) {
  const Shape& tuples = context.shape(1);
  const int shared = static_cast<int>(context.node.attributes.get_int("batch_dims", 0));
  const int depth = static_cast<int>(tuples[tuples.rank() - 1]);
  const auto& data = context.inputs[0];
  const auto& indices = context.inputs[1];
  if (data && indices) {
    if (data == indices && data->axis < shared) return all_outputs(context, *data);
    return refuse("data and indices carry the batch, but not on one of the {} batch_dims", shared);
  }
  if (indices) {
    if (indices->axis < shared || indices->axis == tuples.rank() - 1)
      return refuse("indices carry the batch on axis {}, data does not", indices->axis);
    return all_outputs(context, *indices);
  }
  if (data->axis < shared + depth)
    return refuse("elements are picked along the batch's axis {}", data->axis);
  return all_outputs(context, {data->axis - shared - depth + tuples.rank() - 1, data->factor});
}

}  // namespace

const OpDef& op_gather() {
  static const OpDef kDef{
      .name = "Gather", .infer = infer_gather, .evaluate = evaluate_gather, .split = split_gather};
  return kDef;
}

const OpDef& op_gather_elements() {
  static const OpDef kDef{.name = "GatherElements",
                          .infer = infer_elements,
                          .evaluate = evaluate_elements,
                          .split = split_elements};
  return kDef;
}

const OpDef& op_gather_nd() {
  static const OpDef kDef{.name = "GatherND",
                          .infer = infer_nd,
                          .evaluate = evaluate_nd,
                          .split = split_nd,
                          .import = import_nd};
  return kDef;
}

}  // namespace gacer
