#include <vector>

#include "base/dtype.h"
#include "ops/common.h"
#include "ops/matmul_shapes.h"

namespace gacer {
namespace {

constexpr int kZeroA = 2;
constexpr int kZeroB = 3;

bool is_byte(DType dtype) { return dtype == DType::kI8 || dtype == DType::kU8; }

std::vector<OutputType> infer(const InferContext& context) {
  if (!is_byte(context.dtype(0)) || !is_byte(context.dtype(1)))
    fail(ErrorKind::kModel, "integer product of {} and {}", to_string(context.dtype(0)),
         to_string(context.dtype(1)));
  const MatMulShapes shapes = matmul_shapes(context.shape(0), context.shape(1));
  const auto check = [&](int input, std::int64_t lines) {
    if (!context.has_input(input)) return;
    const Shape& shape = context.shape(input);
    if (shape.num_elements() != 1 && shape != Shape{lines})
      fail(ErrorKind::kUnsupported, "zero point {} for {} rows or columns", shape.to_string(),
           lines);
  };
  check(kZeroA, shapes.m);
  check(kZeroB, shapes.n);
  return {{DType::kI32, shapes.out}};
}

void evaluate(const EvalContext& context) {
  const MatMulShapes shapes = matmul_shapes(context.inputs[0].shape, context.inputs[1].shape);
  const std::vector<std::int64_t> a = ints_of(context.inputs[0]);
  const std::vector<std::int64_t> b = ints_of(context.inputs[1]);
  const auto zero_points = [&](std::size_t input) {
    return context.has_input(input) ? ints_of(context.inputs[input]) : std::vector<std::int64_t>{0};
  };
  const std::vector<std::int64_t> a_zero = zero_points(kZeroA);
  const std::vector<std::int64_t> b_zero = zero_points(kZeroB);
  const auto y = context.outputs[0].flat<std::int32_t>();
  const auto of = [](const std::vector<std::int64_t>& zeros, std::int64_t line) {
    return zeros.size() == 1 ? zeros[0] : zeros[static_cast<std::size_t>(line)];
  };
  multiply_matrices(shapes, context.team,
                    [&](std::int64_t out, std::int64_t row, std::int64_t column) {
                      const std::int64_t za = of(a_zero, out / shapes.n % shapes.m);
                      const std::int64_t zb = of(b_zero, out % shapes.n);
                      std::int64_t sum = 0;
                      for (std::int64_t k = 0; k < shapes.k; ++k)
                        sum += (a[static_cast<std::size_t>(row + k)] - za) *
                               (b[static_cast<std::size_t>(column + k * shapes.n)] - zb);
                      y[static_cast<std::size_t>(out)] = static_cast<std::int32_t>(sum);
                    });
}

Cost cost(const Graph& graph, const Node& node) {
  const Shape& a = graph.value(node.inputs[0]).shape;
  return {2.0 * output_elements(graph, node) * static_cast<double>(a[a.rank() - 1]),
          operand_bytes(graph, node)};
}

SplitResult split(const SplitContext& context) {
  SplitResult result = split_matmul(context);
  if (!result) return result;
  for (int i = kZeroA; i < context.node.num_op_inputs; ++i)
    if (context.node.inputs[static_cast<std::size_t>(i)] != kNone &&
        context.shape(i).num_elements() != 1)
      return refuse("zero points per row or column");
  return result;
}

}  // namespace

const OpDef& op_matmul_integer() {
  static const OpDef def{.name = "MatMulInteger",
                         .min_opset = 10,
                         .infer = infer,
                         .evaluate = evaluate,
                         .cost = cost,
                         .split = split};
  return def;
}

}  // namespace gacer
