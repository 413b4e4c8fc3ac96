#include <vector>

#include "base/dtype.h"
#include "ops/common.h"
#include "ops/gemm.h"

namespace gacer {
namespace {

bool is_set(const Node& node, const char* name) { return node.attributes.get_int(name, 0) != 0; }

std::vector<OutputType> infer(const InferContext& context) {
  require_float(context, 0);
  require_rank(context, 0, 2);
  require_rank(context, 1, 2);
  const bool trans_a = is_set(context.node(), "transA");
  const bool trans_b = is_set(context.node(), "transB");
  const Shape& a = context.shape(0);
  const Shape& b = context.shape(1);
  if (a[trans_a ? 0 : 1] != b[trans_b ? 1 : 0])
    fail(ErrorKind::kModel, "Gemm of {} (transA={}) and {} (transB={})", a.to_string(), trans_a,
         b.to_string(), trans_b);
  const Shape out{a[trans_a ? 1 : 0], b[trans_b ? 0 : 1]};
  if (context.has_input(2) && broadcast_shapes(context.shape(2), out) != out)
    fail(ErrorKind::kModel, "C {} does not broadcast to {}", context.shape(2).to_string(),
         out.to_string());
  return {{context.dtype(0), out}};
}

void evaluate_f32(const EvalContext& context) {
  const Attributes& attributes = context.node.attributes;
  const TensorView& out = context.outputs[0];
  const bool trans_a = is_set(context.node, "transA");
  const bool trans_b = is_set(context.node, "transB");
  const std::int64_t m = out.shape[0];
  const std::int64_t n = out.shape[1];
  const std::int64_t k = context.inputs[0].shape[trans_a ? 0 : 1];
  const float* a = context.inputs[0].flat<float>().data();
  std::vector<float> transposed;
  if (trans_a) {
    transposed.resize(static_cast<std::size_t>(m * k));
    for (std::int64_t i = 0; i < k; ++i)
      for (std::int64_t j = 0; j < m; ++j)
        transposed[static_cast<std::size_t>(j * k + i)] = a[i * m + j];
    a = transposed.data();
  }
  float* y = out.flat<float>().data();
  gemm({m, n, k}, a, k, context.inputs[1].flat<float>().data(), trans_b ? 1 : n, trans_b ? k : 1, y,
       n, context.team);
  const float alpha = attributes.get_float("alpha", 1.0F);
  if (alpha != 1.0F)
    for (std::int64_t i = 0; i < m * n; ++i) y[i] *= alpha;
  if (!context.has_input(2)) return;
  const float beta = attributes.get_float("beta", 1.0F);
  const float* c = context.inputs[2].flat<float>().data();
  for_each_broadcast(
      out.shape, std::array{broadcast_strides(context.inputs[2].shape, out.shape)}, 0, m * n,
      [&](std::int64_t i, const std::array<std::int64_t, 1>& at) { y[i] += beta * c[at[0]]; });
}

void evaluate(const EvalContext& context) { evaluate_in_f32(context, evaluate_f32); }

Cost cost(const Graph& graph, const Node& node) {
  const Shape& a = graph.value(node.inputs[0]).shape;
  const auto k = static_cast<double>(a[is_set(node, "transA") ? 0 : 1]);
  return {2.0 * output_elements(graph, node) * k, operand_bytes(graph, node)};
}

SplitResult split(const SplitContext& context) {
  if (auto only = only_batched(context, {0, 2}); !only) return Refusal{only.reason()};
  if (!context.inputs[0]) return refuse("only the addend carries the batch");
  const BatchAxis rows = *context.inputs[0];
  if (rows.axis != (is_set(context.node, "transA") ? 1 : 0))
    return refuse("the product sums over axis {}, which holds the batch", rows.axis);
  if (context.inputs.size() > 2 && context.node.num_op_inputs > 2 &&
      context.node.inputs[2] != kNone) {
    const int shift = 2 - context.shape(2).rank();
    if (context.inputs[2]) {
      if (context.inputs[2]->axis + shift != 0 || context.inputs[2]->factor != rows.factor)
        return refuse("the addend carries the batch on axis {}", context.inputs[2]->axis);
    } else if (shift == 0 && context.shape(2)[0] != 1) {
      return refuse("the addend {} does not carry the batch", context.shape(2).to_string());
    }
  }
  return all_outputs(context, {0, rows.factor});
}

/// Below opset 7 `broadcast` allowed what is now always allowed.
void import_node(ImportContext& context) { context.node.attributes.erase("broadcast"); }

}  // namespace

const OpDef& op_gemm() {
  static const OpDef def{.name = "Gemm",
                         .infer = infer,
                         .evaluate = evaluate,
                         .cost = cost,
                         .split = split,
                         .import = import_node};
  return def;
}

}  // namespace gacer
