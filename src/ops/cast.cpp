#include "ops/cast.h"

#include <cstring>

#include "ops/elementwise.h"

namespace gacer {
namespace {

template <typename From, typename To>
struct Convert {
  To operator()(ComputeType<From> value) const {
    if constexpr (std::is_same_v<ComputeType<To>, To>)
      return saturate_cast<To>(value);
    else  // f16, bf16
      return static_cast<To>(static_cast<float>(value));
  }
};

std::vector<OutputType> infer_cast(const InferContext& context) {
  if (!context.node().attributes.has("to")) fail(ErrorKind::kModel, "attribute 'to' is missing");
  return {{dtype_of_onnx(context.node().attributes.get_int("to", 0)), context.shape(0)}};
}

std::vector<OutputType> infer_cast_like(const InferContext& context) {
  return {{context.dtype(1), context.shape(0)}};
}

void evaluate_cast(const EvalContext& context) {
  cast_elements(context.inputs[0], context.outputs[0], context.team);
}

/// CastLike reads nothing but the type of its second operand.
SplitResult split_cast(const SplitContext& context) {
  std::vector<std::optional<BatchAxis>> axes(1, context.inputs[0]);
  if (!axes[0]) return refuse("the data does not carry the batch");
  return axes;
}

/// Before opset 6 the type was named.
void import_cast(ImportContext& context) {
  if (context.opset >= 6) return;
  constexpr std::pair<const char*, int> kNames[] = {
      {"FLOAT", 1}, {"UINT8", 2}, {"INT8", 3},     {"UINT16", 4},  {"INT16", 5},   {"INT32", 6},
      {"INT64", 7}, {"BOOL", 9},  {"FLOAT16", 10}, {"DOUBLE", 11}, {"UINT32", 12}, {"UINT64", 13}};
  const std::string name = context.node.attributes.get_string("to", "");
  for (const auto& [known, number] : kNames) {
    if (name != known) continue;
    context.node.attributes.set("to", std::int64_t{number});
    return;
  }
  fail(ErrorKind::kUnsupported, "Cast to '{}'", name);
}

}  // namespace

DType dtype_of_onnx(std::int64_t number) {
  switch (number) {
    case 1:
      return DType::kF32;
    case 2:
      return DType::kU8;
    case 3:
      return DType::kI8;
    case 4:
      return DType::kU16;
    case 5:
      return DType::kI16;
    case 6:
      return DType::kI32;
    case 7:
      return DType::kI64;
    case 9:
      return DType::kBool;
    case 10:
      return DType::kF16;
    case 11:
      return DType::kF64;
    case 12:
      return DType::kU32;
    case 13:
      return DType::kU64;
    case 16:
      return DType::kBF16;
    default:
      fail(ErrorKind::kUnsupported, "ONNX element type {} (only numbers and bool)", number);
  }
}

void cast_elements(const TensorView& from, const TensorView& to, Team& team) {
  require(from.num_elements() == to.num_elements(), "cast {} to {}", from.shape.to_string(),
          to.shape.to_string());
  if (from.num_elements() == 0) return;
  if (from.dtype == to.dtype) {
    if (from.data != to.data) std::memcpy(to.data, from.data, from.size_bytes());
    return;
  }
  dispatch_dtype(from.dtype, [&](auto from_tag) {
    dispatch_dtype(to.dtype, [&](auto to_tag) {
      using From = decltype(from_tag);
      using To = decltype(to_tag);
      const TensorView flat_from(from.data, from.dtype, Shape{from.num_elements()});
      const TensorView flat_to(to.data, to.dtype, Shape{to.num_elements()});
      for_each_row({&flat_from, 1}, flat_to, team,
                   [](const Row& row) { unary_row<From, To>(row, Convert<From, To>{}); });
    });
  });
}

const OpDef& op_cast() {
  static const OpDef kDef{.name = "Cast",
                          .infer = infer_cast,
                          .evaluate = evaluate_cast,
                          .cost = pointwise_cost,
                          .split = split_cast,
                          .import = import_cast,
                          .is_pointwise = true};
  return kDef;
}

const OpDef& op_cast_like() {
  static const OpDef kDef{.name = "CastLike",
                          .infer = infer_cast_like,
                          .evaluate = evaluate_cast,
                          .cost = pointwise_cost,
                          .split = split_cast};
  return kDef;
}

}  // namespace gacer
