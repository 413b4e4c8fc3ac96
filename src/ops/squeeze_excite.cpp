// SqueezeExcite: y = w2 * f(w1 * mean(x) + b1) + b2, the mean over all positions of each channel:
// GlobalAveragePool and two convolutions of a single position. Inputs x [N, C, D...] (rank 3 or 4),
// w1 [S, C, 1...], b1 [S] (optional), w2 [C2, S, 1...], b2 [C2] (optional); result [N, C2, 1...].
// f is the attribute "activation" (a name of to_string(Activation)) with "alpha" and "beta". Mean
// and hidden vector stay f32 in between, whatever the type of x is.

#include <vector>

#include "ops/common.h"
#include "ops/gemm.h"

namespace gacer {

const OpDef& op_global_average_pool();

namespace {

enum Input : int { kX, kW1, kB1, kW2, kB2 };

Activation hidden_activation(const Node& node) {
  const std::string name = node.attributes.get_string("activation", "identity");
  const std::optional<Activation> activation = parse_activation(name);
  if (!activation) fail(ErrorKind::kModel, "there is no activation '{}'", name);
  return *activation;
}

/// Checks a weight [rows, columns, 1...] and its bias [rows]; returns the rows.
std::int64_t check_product(const InferContext& context, int weight, int bias,
                           std::int64_t columns) {
  const Shape& w = context.shape(weight);
  const int rank = context.shape(kX).rank();
  if (w.rank() != rank || w[1] != columns || product(w, 2, rank) != 1)
    fail(ErrorKind::kModel, "input {} is {} for {} channels of input 0 with rank {}", weight,
         w.to_string(), columns, rank);
  if (context.has_input(bias) && context.shape(bias) != Shape{w[0]})
    fail(ErrorKind::kModel, "input {} is {} for {} rows of input {}", bias,
         context.shape(bias).to_string(), w[0], weight);
  return w[0];
}

std::vector<OutputType> infer(const InferContext& context) {
  require_float(context, kX);
  const Shape& x = context.shape(kX);
  if (x.rank() < 3 || x.rank() > 4)
    fail(ErrorKind::kModel, "input 0 has shape {}, expected rank 3 or 4", x.to_string());
  hidden_activation(context.node());
  const std::int64_t hidden = check_product(context, kW1, kB1, x[1]);
  const std::int64_t channels = check_product(context, kW2, kB2, hidden);
  std::vector<std::int64_t> dims(static_cast<std::size_t>(x.rank()), 1);
  dims[0] = x[0];
  dims[1] = channels;
  return {{context.dtype(kX), Shape(std::move(dims))}};
}

/// to[n, r] = sum over c of weight[r, c] * from[n, c], plus bias[r].
void multiply(const EvalContext& context, int weight, int bias, const TensorView& from,
              const TensorView& to) {
  const TensorView& w = context.inputs[static_cast<std::size_t>(weight)];
  const std::int64_t rows = w.shape[0];
  const std::int64_t columns = w.shape[1];
  float* out = to.flat<float>().data();
  gemm({from.shape[0], rows, columns}, from.flat<float>().data(), columns, w.flat<float>().data(),
       1, columns, out, rows, context.team);
  const auto b = static_cast<std::size_t>(bias);
  if (!context.has_input(b)) return;
  const auto add = context.inputs[b].flat<float>();
  for (std::int64_t i = 0; i < from.shape[0] * rows; ++i)
    out[i] += add[static_cast<std::size_t>(i % rows)];
}

void evaluate_f32(const EvalContext& context) {
  const TensorView& x = context.inputs[kX];
  Tensor mean(DType::kF32, Shape{x.shape[0], x.shape[1]});
  Tensor hidden(DType::kF32, Shape{x.shape[0], context.inputs[kW1].shape[0]});
  const std::vector<TensorView> means{TensorView::of(mean)};
  op_global_average_pool().evaluate(
      EvalContext{context.node, context.inputs.first(1), means, context.team});
  const TensorView hidden_view = TensorView::of(hidden);
  multiply(context, kW1, kB1, means[0], hidden_view);
  const Activation activation = hidden_activation(context.node);
  const float alpha = context.node.attributes.get_float("alpha", 0);
  const float beta = context.node.attributes.get_float("beta", 0);
  for (float& value : hidden_view.flat<float>()) value = apply(activation, value, alpha, beta);
  multiply(context, kW2, kB2, hidden_view, context.outputs[0]);
}

void evaluate(const EvalContext& context) { evaluate_in_f32(context, evaluate_f32); }

/// The sums of the mean, both products and their biases.
Cost cost(const Graph& graph, const Node& node) {
  const auto elements = [&](int input) {
    const ValueId id = node.inputs[static_cast<std::size_t>(input)];
    return id == kNone ? 0.0 : static_cast<double>(graph.value(id).shape.num_elements());
  };
  const auto items = static_cast<double>(graph.value(node.inputs[kX]).shape[0]);
  const double per_item = 2.0 * (elements(kW1) + elements(kW2)) + elements(kB1) + elements(kB2);
  return {elements(kX) + items * per_item, operand_bytes(graph, node)};
}

}  // namespace

const OpDef& op_squeeze_excite() {
  static const OpDef def{.name = "SqueezeExcite",
                         .domain = "gacer",
                         .infer = infer,
                         .evaluate = evaluate,
                         .cost = cost,
                         .split = split_leading};
  return def;
}

}  // namespace gacer
