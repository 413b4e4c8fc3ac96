#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/cast.h"
#include "ops/data_movement.h"
#include "ops/elementwise.h"

// Operators whose result follows from attributes, shapes and constants: they are folded before a
// model runs.
namespace gacer {
namespace {

// ---- Shape, Size -----------------------------------------------------------------------------

/// Axes [begin, end) that Shape tells of.
std::pair<int, int> shape_range(const Node& node, int rank) {
  const auto clamp = [&](std::int64_t axis) {
    if (axis < 0) axis += rank;
    return static_cast<int>(std::clamp<std::int64_t>(axis, 0, rank));
  };
  const int begin = clamp(node.attributes.get_int("start", 0));
  return {begin, std::max(begin, clamp(node.attributes.get_int("end", rank)))};
}

std::vector<OutputType> infer_shape(const InferContext& context) {
  const auto [begin, end] = shape_range(context.node(), context.shape(0).rank());
  return {{DType::kI64, Shape{end - begin}}};
}

void evaluate_shape(const EvalContext& context) {
  const Shape& shape = context.inputs[0].shape;
  const int begin = shape_range(context.node, shape.rank()).first;
  auto out = context.outputs[0].flat<std::int64_t>();
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = shape[begin + static_cast<int>(i)];
}

std::vector<OutputType> infer_size(const InferContext& context) {
  context.input(0);
  return {{DType::kI64, Shape{}}};
}

void evaluate_size(const EvalContext& context) {
  context.outputs[0].flat<std::int64_t>()[0] = context.inputs[0].num_elements();
}

SplitResult split_shape(const SplitContext&) {
  return refuse("the shape of the whole batch is asked for");
}

// ---- Constant, ConstantOfShape ---------------------------------------------------------------

/// The tensor of any of the value_* attributes.
Tensor constant_value(const Node& node) {
  const Attributes& attributes = node.attributes;
  if (const Tensor* value = attributes.find_tensor("value")) return *value;
  if (attributes.has("value_float"))
    return Tensor::scalar<float>(attributes.get_float("value_float", 0));
  if (attributes.has("value_int"))
    return Tensor::scalar<std::int64_t>(attributes.get_int("value_int", 0));
  if (attributes.has("value_floats")) {
    const std::vector<float> values = attributes.get_floats("value_floats");
    return Tensor::from<float>(Shape{static_cast<std::int64_t>(values.size())}, values);
  }
  if (attributes.has("value_ints")) {
    const std::vector<std::int64_t> values = attributes.get_ints("value_ints");
    return Tensor::from<std::int64_t>(Shape{static_cast<std::int64_t>(values.size())}, values);
  }
  std::string names;
  for (const auto& [name, value] : attributes.entries()) names += " " + name;
  fail(ErrorKind::kUnsupported, "Constant with attributes [{} ], expected a value of numbers",
       names);
}

std::vector<OutputType> infer_constant(const InferContext& context) {
  const Tensor value = constant_value(context.node());
  return {{value.dtype(), value.shape()}};
}

void evaluate_constant(const EvalContext& context) {
  const Tensor value = constant_value(context.node);
  if (value.size_bytes() > 0)
    std::memcpy(context.outputs[0].data, value.bytes(), value.size_bytes());
}

/// The one element that ConstantOfShape repeats; f32 zero by default.
Tensor fill_value(const Node& node) {
  const Tensor* value = node.attributes.find_tensor("value");
  if (value == nullptr) return Tensor::from<float>(Shape{1}, {0.0f});
  if (value->num_elements() != 1) {
    fail(ErrorKind::kModel, "ConstantOfShape: value has shape {}, expected one element",
         value->shape().to_string());
  }
  return *value;
}

std::vector<OutputType> infer_constant_of_shape(const InferContext& context) {
  const Shape shape(context.constant_ints(0));
  for (std::int64_t dim : shape)
    if (dim < 0) fail(ErrorKind::kModel, "ConstantOfShape: {}", shape.to_string());
  return {{fill_value(context.node()).dtype(), shape}};
}

void evaluate_constant_of_shape(const EvalContext& context) {
  fill_elements(context.outputs[0], fill_value(context.node).bytes(), context.team);
}

// ---- Range -----------------------------------------------------------------------------------

double scalar_as_double(const Tensor& tensor) {
  if (tensor.num_elements() != 1)
    fail(ErrorKind::kModel, "shape {}, expected a scalar", tensor.shape().to_string());
  return dispatch_dtype(tensor.dtype(), [&](auto tag) {
    return static_cast<double>(load(tensor.data<decltype(tag)>()[0]));
  });
}

const Tensor& constant_input(const InferContext& context, int i) {
  const Tensor* tensor = context.constant(i);
  if (tensor == nullptr) {
    fail(ErrorKind::kUnsupported,
         "input {} ('{}') must be a constant: shapes are known before anything runs", i,
         context.input(i).name);
  }
  return *tensor;
}

std::vector<OutputType> infer_range(const InferContext& context) {
  check_type(context, 0, TypeSet::kNumeric);
  check_same_types(context, 0, 3);
  const double start = scalar_as_double(constant_input(context, 0));
  const double limit = scalar_as_double(constant_input(context, 1));
  const double delta = scalar_as_double(constant_input(context, 2));
  if (delta == 0) fail(ErrorKind::kModel, "Range: delta is 0");
  const double count = std::max(0.0, std::ceil((limit - start) / delta));
  if (!(count < 1e12)) {
    fail(ErrorKind::kModel, "Range from {} to {} by {} has {} elements", start, limit, delta,
         count);
  }
  return {{context.dtype(0), Shape{static_cast<std::int64_t>(count)}}};
}

void evaluate_range(const EvalContext& context) {
  dispatch_in<TypeSet::kNumeric>(context.outputs[0].dtype, context.node, [&](auto tag) {
    using T = decltype(tag);
    const auto start = load(*reinterpret_cast<const T*>(context.inputs[0].data));
    const auto delta = load(*reinterpret_cast<const T*>(context.inputs[2].data));
    auto out = context.outputs[0].flat<T>();
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = static_cast<T>(start + static_cast<ComputeType<T>>(i) * delta);
  });
}

// ---- EyeLike, NonZero ------------------------------------------------------------------------

std::vector<OutputType> infer_eye_like(const InferContext& context) {
  require_rank(context, 0, 2);
  const Attributes& attributes = context.node().attributes;
  const DType dtype =
      attributes.has("dtype") ? dtype_of_onnx(attributes.get_int("dtype", 1)) : context.dtype(0);
  return {{dtype, context.shape(0)}};
}

void evaluate_eye_like(const EvalContext& context) {
  const TensorView& out = context.outputs[0];
  const std::int64_t k = context.node.attributes.get_int("k", 0);
  fill_elements(out, nullptr, context.team);
  dispatch_dtype(out.dtype, [&](auto tag) {
    using T = decltype(tag);
    if (k <= -out.shape[0] || k >= out.shape[1]) return;  // no diagonal of the matrix
    auto elements = out.flat<T>();
    for (std::int64_t row = std::max<std::int64_t>(0, -k);
         row < out.shape[0] && row + k < out.shape[1]; ++row)
      elements[static_cast<std::size_t>(row * out.shape[1] + row + k)] = static_cast<T>(1.0f);
  });
}

/// Row-major positions of elements that are not zero.
std::vector<std::int64_t> nonzero_positions(const TensorView& view) {
  return dispatch_dtype(view.dtype, [&](auto tag) {
    std::vector<std::int64_t> positions;
    const auto elements = view.flat<decltype(tag)>();
    for (std::size_t i = 0; i < elements.size(); ++i)
      if (load(elements[i]) != ComputeType<decltype(tag)>{})
        positions.push_back(static_cast<std::int64_t>(i));
    return positions;
  });
}

std::vector<OutputType> infer_nonzero(const InferContext& context) {
  const Tensor& data = constant_input(context, 0);
  const auto count = static_cast<std::int64_t>(nonzero_positions(TensorView::of(data)).size());
  return {{DType::kI64, Shape{data.shape().rank(), count}}};
}

void evaluate_nonzero(const EvalContext& context) {
  const Shape& shape = context.inputs[0].shape;
  const std::vector<std::int64_t> positions = nonzero_positions(context.inputs[0]);
  const std::vector<std::int64_t> strides = shape.row_major_strides();
  auto out = context.outputs[0].flat<std::int64_t>();
  require(out.size() == positions.size() * strides.size(), "NonZero: {} positions for {}",
          positions.size(), context.outputs[0].shape.to_string());
  for (std::size_t axis = 0; axis < strides.size(); ++axis)
    for (std::size_t i = 0; i < positions.size(); ++i)
      out[axis * positions.size() + i] =
          positions[i] / strides[axis] % shape[static_cast<int>(axis)];
}

}  // namespace

const OpDef& op_shape() {
  static const OpDef kDef{
      .name = "Shape", .infer = infer_shape, .evaluate = evaluate_shape, .split = split_shape};
  return kDef;
}
const OpDef& op_size() {
  static const OpDef kDef{
      .name = "Size", .infer = infer_size, .evaluate = evaluate_size, .split = split_shape};
  return kDef;
}
const OpDef& op_constant() {
  static const OpDef kDef{
      .name = "Constant", .infer = infer_constant, .evaluate = evaluate_constant};
  return kDef;
}
const OpDef& op_constant_of_shape() {
  static const OpDef kDef{.name = "ConstantOfShape",
                          .infer = infer_constant_of_shape,
                          .evaluate = evaluate_constant_of_shape};
  return kDef;
}
const OpDef& op_range() {
  static const OpDef kDef{.name = "Range", .infer = infer_range, .evaluate = evaluate_range};
  return kDef;
}
const OpDef& op_eye_like() {
  static const OpDef kDef{
      .name = "EyeLike", .infer = infer_eye_like, .evaluate = evaluate_eye_like};
  return kDef;
}
const OpDef& op_non_zero() {
  static const OpDef kDef{.name = "NonZero", .infer = infer_nonzero, .evaluate = evaluate_nonzero};
  return kDef;
}

}  // namespace gacer
