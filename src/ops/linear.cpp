#include "base/dtype.h"
#include "ops/common.h"
#include "ops/gemm.h"

// Linear: y[…, N] = x[…, K] · W + bias[N]. W is [K, N], or [N, K] with transB=1.
namespace gacer {
namespace {

bool is_transposed(const Node& node) { return node.attributes.get_int("transB", 0) != 0; }

std::vector<OutputType> infer(const InferContext& context) {
  require_float(context, 0);
  require_rank_at_least(context, 0, 1);
  require_rank(context, 1, 2);
  const bool transposed = is_transposed(context.node());
  Shape shape = context.shape(0);
  const int last = shape.rank() - 1;
  const Shape& w = context.shape(1);
  if (shape[last] != w[transposed ? 1 : 0])
    fail(ErrorKind::kModel, "Linear of {} and {} (transB={})", shape.to_string(), w.to_string(),
         transposed);
  shape[last] = w[transposed ? 0 : 1];
  if (context.has_input(2) && context.shape(2) != Shape{shape[last]})
    fail(ErrorKind::kModel, "bias {} for {} columns", context.shape(2).to_string(), shape[last]);
  return {{context.dtype(0), shape}};
}

void evaluate_f32(const EvalContext& context) {
  const TensorView& x = context.inputs[0];
  const TensorView& w = context.inputs[1];
  const bool transposed = is_transposed(context.node);
  const std::int64_t k = w.shape[transposed ? 1 : 0];
  const std::int64_t n = w.shape[transposed ? 0 : 1];
  const std::int64_t m = product(x.shape, 0, x.shape.rank() - 1);
  float* y = context.outputs[0].flat<float>().data();
  gemm({m, n, k}, x.flat<float>().data(), k, w.flat<float>().data(), transposed ? 1 : n,
       transposed ? k : 1, y, n, context.team);
  if (!context.has_input(2)) return;
  const float* bias = context.inputs[2].flat<float>().data();
  context.team.parallel_for(m, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row)
      for (std::int64_t i = 0; i < n; ++i) y[row * n + i] += bias[i];
  });
}

void evaluate(const EvalContext& context) { evaluate_in_f32(context, evaluate_f32); }

Cost cost(const Graph& graph, const Node& node) {
  const Shape& x = graph.value(node.inputs[0]).shape;
  const bool has_bias = node.num_op_inputs > 2 && node.inputs[2] != kNone;
  return {output_elements(graph, node) *
              (2.0 * static_cast<double>(x[x.rank() - 1]) + (has_bias ? 1 : 0)),
          operand_bytes(graph, node)};
}

SplitResult split(const SplitContext& context) {
  return split_keep_axis(context, std::array{context.shape(0).rank() - 1});
}

}  // namespace

const OpDef& op_linear() {
  static const OpDef def{.name = "Linear",
                         .domain = "gacer",
                         .infer = infer,
                         .evaluate = evaluate,
                         .cost = cost,
                         .split = split};
  return def;
}

}  // namespace gacer
