#include "ops/common.h"

#include <algorithm>
#include <cstring>

#include "base/convert.h"
#include "base/dtype.h"
#include "base/error.h"

namespace gacer {

int normalize_axis(std::int64_t axis, int rank) {
  if (axis < -rank || axis >= rank)
    fail(ErrorKind::kModel, "axis {} is outside of [-{}, {})", axis, rank, rank);
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

std::vector<int> normalize_axes(std::span<const std::int64_t> axes, int rank) {
  std::vector<int> result;
  for (const std::int64_t axis : axes) result.push_back(normalize_axis(axis, rank));
  std::sort(result.begin(), result.end());
  const auto repeated = std::adjacent_find(result.begin(), result.end());
  if (repeated != result.end()) fail(ErrorKind::kModel, "axis {} is named twice", *repeated);
  return result;
}

Shape broadcast_shapes(const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  std::vector<std::int64_t> dims(static_cast<std::size_t>(rank));
  for (int axis = 0; axis < rank; ++axis) {
    const int a_axis = axis - (rank - a.rank());
    const int b_axis = axis - (rank - b.rank());
    const std::int64_t a_dim = a_axis < 0 ? 1 : a[a_axis];
    const std::int64_t b_dim = b_axis < 0 ? 1 : b[b_axis];
    if (a_dim != b_dim && a_dim != 1 && b_dim != 1)
      fail(ErrorKind::kModel, "shapes {} and {} do not broadcast", a.to_string(), b.to_string());
    dims[static_cast<std::size_t>(axis)] = a_dim == 1 ? b_dim : a_dim;
  }
  return Shape(std::move(dims));
}

Shape broadcast_inputs(const InferContext& context) {
  Shape shape;
  for (int i = 0; i < context.num_inputs(); ++i)
    if (context.has_input(i)) shape = broadcast_shapes(shape, context.shape(i));
  return shape;
}

std::vector<std::int64_t> broadcast_strides(const Shape& from, const Shape& to) {
  require(from.rank() <= to.rank(), "{} does not broadcast to {}", from.to_string(),
          to.to_string());
  const std::vector<std::int64_t> own = from.row_major_strides();
  const int shift = to.rank() - from.rank();
  std::vector<std::int64_t> strides(static_cast<std::size_t>(to.rank()), 0);
  for (int axis = 0; axis < from.rank(); ++axis) {
    if (from[axis] == 1) continue;
    require(from[axis] == to[axis + shift], "{} does not broadcast to {}", from.to_string(),
            to.to_string());
    strides[static_cast<std::size_t>(axis + shift)] = own[static_cast<std::size_t>(axis)];
  }
  return strides;
}

std::int64_t product(const Shape& shape, int begin, int end) {
  std::int64_t result = 1;
  for (int axis = begin; axis < end; ++axis) result *= shape[axis];
  return result;
}

std::vector<OutputType> infer_like_input(const InferContext& context) {
  return {{context.dtype(0), context.shape(0)}};
}

void require_float(const InferContext& context, int input) {
  if (!is_float(context.dtype(input)))
    fail(ErrorKind::kUnsupported, "input {} is {}, only float types are supported", input,
         to_string(context.dtype(input)));
}

void require_rank(const InferContext& context, int input, int rank) {
  if (context.shape(input).rank() != rank)
    fail(ErrorKind::kModel, "input {} has shape {}, expected rank {}", input,
         context.shape(input).to_string(), rank);
}

void require_rank_at_least(const InferContext& context, int input, int rank) {
  if (context.shape(input).rank() < rank)
    fail(ErrorKind::kModel, "input {} has shape {}, expected rank {} or more", input,
         context.shape(input).to_string(), rank);
}

std::vector<std::int64_t> ints_of(const TensorView& view) {
  if (!is_integer(view.dtype))
    fail(ErrorKind::kModel, "a tensor of integers is {}", to_string(view.dtype));
  std::vector<std::int64_t> result;
  dispatch_dtype(view.dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>)
      for (const T value : view.flat<T>()) result.push_back(static_cast<std::int64_t>(value));
  });
  return result;
}

std::vector<std::int64_t> ints_of(const Tensor& tensor) { return ints_of(TensorView::of(tensor)); }

void set_input(ImportContext& context, int index, ValueId value) {
  Node& node = context.node;
  if (node.inputs.size() <= static_cast<std::size_t>(index))
    node.inputs.resize(static_cast<std::size_t>(index) + 1, kNone);
  node.inputs[static_cast<std::size_t>(index)] = value;
  node.num_op_inputs = static_cast<int>(node.inputs.size());
}

void attribute_to_input(ImportContext& context, std::string_view name, int index, bool as_scalar) {
  Attributes& attributes = context.node.attributes;
  const auto found = attributes.entries().find(name);
  if (found == attributes.entries().end()) return;
  const Attribute& attribute = found->second;
  Tensor tensor;
  if (const auto* ints = std::get_if<std::vector<std::int64_t>>(&attribute)) {
    tensor = Tensor::from<std::int64_t>(Shape{static_cast<std::int64_t>(ints->size())},
                                        std::span<const std::int64_t>(*ints));
  } else if (const auto* one = std::get_if<std::int64_t>(&attribute)) {
    tensor = Tensor::from<std::int64_t>(as_scalar ? Shape{} : Shape{1}, {*one});
  } else if (const auto* floats = std::get_if<std::vector<float>>(&attribute)) {
    tensor = Tensor::from<float>(Shape{static_cast<std::int64_t>(floats->size())},
                                 std::span<const float>(*floats));
  } else if (const auto* number = std::get_if<float>(&attribute)) {
    tensor = Tensor::scalar<float>(*number);
  } else {
    fail(ErrorKind::kModel, "attribute '{}' is neither a number nor a list of numbers", name);
  }
  set_input(context, index,
            context.graph.add_constant(fmt::format("{}:{}", context.node.name, name), tensor));
  attributes.erase(name);
}

void make_reshape(ImportContext& context, ValueId input, const Shape& shape) {
  const ValueId target = context.graph.add_constant(
      context.node.name + ":shape",
      Tensor::from<std::int64_t>(Shape{shape.rank()}, std::span<const std::int64_t>(shape.dims())));
  context.node.op = "Reshape";
  context.node.attributes = Attributes();
  context.node.attributes.set("allowzero", std::int64_t{1});
  context.node.inputs = {input, target};
  context.node.num_op_inputs = 2;
}

ValueId add_reshape(ImportContext& context, ValueId input, const Shape& shape) {
  Graph& graph = context.graph;
  Value output;
  output.name = context.node.name + ":reshaped";
  const ValueId result = graph.add_value(std::move(output));
  Node node;
  node.name = graph.value(result).name;
  node.outputs = {result};
  ImportContext reshape{graph, node, context.opset};
  make_reshape(reshape, input, shape);
  infer_node(graph, graph.add_node(std::move(node)));
  return result;
}

float load_f32(const TensorView& view, std::int64_t index) {
  const auto i = static_cast<std::size_t>(index);
  switch (view.dtype) {
    case DType::kF32:
      return reinterpret_cast<const float*>(view.data)[i];
    case DType::kF64:
      return static_cast<float>(reinterpret_cast<const double*>(view.data)[i]);
    case DType::kF16:
      return static_cast<float>(reinterpret_cast<const Half*>(view.data)[i]);
    case DType::kBF16:
      return static_cast<float>(reinterpret_cast<const BFloat16*>(view.data)[i]);
    default:
      fail(ErrorKind::kInternal, "load_f32 of {}", to_string(view.dtype));
  }
}

void store_f32(const TensorView& view, std::int64_t index, float value) {
  const auto i = static_cast<std::size_t>(index);
  switch (view.dtype) {
    case DType::kF32:
      reinterpret_cast<float*>(view.data)[i] = value;
      return;
    case DType::kF64:
      reinterpret_cast<double*>(view.data)[i] = value;
      return;
    case DType::kF16:
      reinterpret_cast<Half*>(view.data)[i] = Half(value);
      return;
    case DType::kBF16:
      reinterpret_cast<BFloat16*>(view.data)[i] = BFloat16(value);
      return;
    default:
      fail(ErrorKind::kInternal, "store_f32 to {}", to_string(view.dtype));
  }
}

namespace {

std::byte* address_of(const TensorView& view, std::int64_t index) {
  return view.data + index * static_cast<std::int64_t>(size_of(view.dtype));
}

}  // namespace

void load_f32(const TensorView& view, std::int64_t first, std::span<float> values) {
  convert_numbers(view.dtype, address_of(view, first), DType::kF32,
                  reinterpret_cast<std::byte*>(values.data()),
                  static_cast<std::int64_t>(values.size()));
}

void store_f32(const TensorView& view, std::int64_t first, std::span<const float> values) {
  convert_numbers(DType::kF32, reinterpret_cast<const std::byte*>(values.data()), view.dtype,
                  address_of(view, first), static_cast<std::int64_t>(values.size()));
}

void convert_floats(const TensorView& from, const TensorView& to, Team& team) {
  constexpr std::int64_t kBlock = 1 << 15;  // so few are converted on the calling thread
  require(from.num_elements() == to.num_elements(), "convert {} to {}", from.shape.to_string(),
          to.shape.to_string());
  team.parallel_for(from.num_elements(), kBlock, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; i += kBlock)
      convert_numbers(from.dtype, address_of(from, i), to.dtype, address_of(to, i),
                      std::min(kBlock, end - i));
  });
}

void evaluate_in_f32(const EvalContext& context, void (*body)(const EvalContext&)) {
  const auto is_narrow = [](const TensorView& view) {
    return view && is_float(view.dtype) && view.dtype != DType::kF32;
  };
  if (std::none_of(context.inputs.begin(), context.inputs.end(), is_narrow) &&
      std::none_of(context.outputs.begin(), context.outputs.end(), is_narrow)) {
    body(context);
    return;
  }
  std::vector<Tensor> copies;
  std::vector<TensorView> inputs(context.inputs.begin(), context.inputs.end());
  std::vector<TensorView> outputs(context.outputs.begin(), context.outputs.end());
  const auto replace = [&](TensorView& view) {
    Tensor copy(DType::kF32, view.shape);
    view = TensorView::of(copy);
    copies.push_back(std::move(copy));
  };
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!is_narrow(inputs[i])) continue;
    replace(inputs[i]);
    convert_floats(context.inputs[i], inputs[i], context.team);
  }
  for (TensorView& output : outputs)
    if (is_narrow(output)) replace(output);
  body(EvalContext{context.node, inputs, outputs, context.team});
  for (std::size_t i = 0; i < outputs.size(); ++i)
    if (is_narrow(context.outputs[i])) convert_floats(outputs[i], context.outputs[i], context.team);
}

void evaluate_copy(const EvalContext& context) {
  const TensorView& from = context.inputs[0];
  const TensorView& to = context.outputs[0];
  require(from.size_bytes() == to.size_bytes(), "copy {} to {}", from.shape.to_string(),
          to.shape.to_string());
  if (from.size_bytes() > 0) std::memcpy(to.data, from.data, from.size_bytes());
}

double operand_bytes(const Graph& graph, const Node& node) {
  std::vector<ValueId> operands = node.inputs;
  operands.insert(operands.end(), node.outputs.begin(), node.outputs.end());
  std::sort(operands.begin(), operands.end());
  operands.erase(std::unique(operands.begin(), operands.end()), operands.end());
  double bytes = 0;
  for (const ValueId id : operands) {
    if (id == kNone) continue;
    const Value& value = graph.value(id);
    bytes += static_cast<double>(bytes_in_layout(value.dtype, value.shape, value.layout));
  }
  return bytes;
}

double output_elements(const Graph& graph, const Node& node) {
  return static_cast<double>(graph.value(node.outputs[0]).shape.num_elements());
}

SplitResult all_outputs(const SplitContext& context, BatchAxis axis) {
  return std::vector<std::optional<BatchAxis>>(context.node.outputs.size(), axis);
}

SplitResult split_pointwise(const SplitContext& context) {
  const Shape& out = context.output_shape();
  std::optional<BatchAxis> common;
  for (int i = 0; i < context.node.num_op_inputs; ++i) {
    const auto& own = context.inputs[static_cast<std::size_t>(i)];
    if (!own) continue;
    const BatchAxis aligned{own->axis + out.rank() - context.shape(i).rank(), own->factor};
    if (common && *common != aligned)
      return refuse("the inputs carry the batch on axis {} (x{}) and on axis {} (x{})",
                    common->axis, common->factor, aligned.axis, aligned.factor);
    common = aligned;
  }
  require(common.has_value(), "split_pointwise without a batch");
  for (int i = 0; i < context.node.num_op_inputs; ++i) {
    if (context.inputs[static_cast<std::size_t>(i)] ||
        context.node.inputs[static_cast<std::size_t>(i)] == kNone)
      continue;
    const Shape& shape = context.shape(i);
    const int axis = common->axis - (out.rank() - shape.rank());
    if (axis >= 0 && shape[axis] != 1)
      return refuse("input {} {} does not carry the batch but has {} elements on its axis", i,
                    shape.to_string(), shape[axis]);
  }
  return all_outputs(context, *common);
}

Result<void> only_batched(const SplitContext& context, std::initializer_list<int> allowed) {
  for (int i = 0; i < context.node.num_op_inputs; ++i)
    if (context.inputs[static_cast<std::size_t>(i)] &&
        std::find(allowed.begin(), allowed.end(), i) == allowed.end())
      return refuse("input {} depends on the batch", i);
  return {};
}

SplitResult split_keep_axis(const SplitContext& context, std::span<const int> mixed_axes,
                            int data) {
  if (auto only = only_batched(context, {data}); !only) return Refusal{only.reason()};
  const BatchAxis batch = *context.inputs[static_cast<std::size_t>(data)];
  if (std::find(mixed_axes.begin(), mixed_axes.end(), batch.axis) != mixed_axes.end())
    return refuse("the operator combines elements along axis {}, which holds the batch",
                  batch.axis);
  return all_outputs(context, batch);
}

SplitResult split_leading(const SplitContext& context) {
  if (auto only = only_batched(context, {0}); !only) return Refusal{only.reason()};
  const BatchAxis batch = *context.inputs[0];
  if (batch.axis != 0) return refuse("the batch is on axis {}, not on axis 0", batch.axis);
  return all_outputs(context, batch);
}

}  // namespace gacer
