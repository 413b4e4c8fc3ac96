#include <vector>

#include "ops/common.h"
#include "ops/recurrent.h"

namespace gacer {
namespace {

constexpr int kGates = 3;  // update, reset, hidden

std::vector<GateActivation> activations(const Node& node, int direction) {
  return gate_activations(node, direction, 2, {"Sigmoid", "Tanh"});
}

std::vector<OutputType> infer(const InferContext& context) {
  std::vector<OutputType> outputs = infer_recurrent(context, kGates, /*has_cell=*/false);
  activations(context.node(), 0);
  return outputs;
}

/// `r` is the direction's recurrent weight [3 * hidden, hidden]: with linear_before_reset=0 the
/// reset gate scales h before the product.
Cell make_cell(const Node& node, const RecurrentSizes& sizes, int direction, const float* r) {
  const auto functions = activations(node, direction);
  const bool is_linear = node.attributes.get_int("linear_before_reset", 0) != 0;
  return [f = functions[0], g = functions[1], clip = gate_clip(node), hidden = sizes.hidden, r,
          is_linear](const CellStep& step) {
    std::vector<float> update(static_cast<std::size_t>(hidden));
    std::vector<float> reset(static_cast<std::size_t>(hidden));
    std::vector<float> scaled(static_cast<std::size_t>(hidden));
    const auto gate = [&](std::int64_t at) {
      return f(clip(step.input[at] + step.recurrent[at] + step.bias[at]));
    };
    for (std::int64_t j = 0; j < hidden; ++j) {
      const auto i = static_cast<std::size_t>(j);
      update[i] = gate(j);
      reset[i] = gate(hidden + j);
      scaled[i] = reset[i] * step.h[j];
    }
    for (std::int64_t j = 0; j < hidden; ++j) {
      const std::int64_t at = 2 * hidden + j;
      const auto i = static_cast<std::size_t>(j);
      float product = 0;
      if (is_linear) {
        product = reset[i] * (step.recurrent[at] + step.bias[at]);
      } else {
        const float* row = r + at * hidden;
        for (std::int64_t k = 0; k < hidden; ++k)
          product += row[k] * scaled[static_cast<std::size_t>(k)];
        product += step.bias[at];
      }
      const float candidate = g(clip(step.input[at] + product));
      step.h[j] = (1.0F - update[i]) * candidate + update[i] * step.h[j];
    }
  };
}

void evaluate_f32(const EvalContext& context) {
  const float* r = context.inputs[2].flat<float>().data();
  evaluate_recurrent(context, kGates, /*has_cell=*/false,
                     [&](const RecurrentSizes& sizes, int direction) {
                       return make_cell(context.node, sizes, direction,
                                        r + direction * kGates * sizes.hidden * sizes.hidden);
                     });
}

void evaluate(const EvalContext& context) { evaluate_in_f32(context, evaluate_f32); }

Cost cost(const Graph& graph, const Node& node) { return recurrent_cost(graph, node, kGates); }

}  // namespace

const OpDef& op_gru() {
  static const OpDef def{
      .name = "GRU", .infer = infer, .evaluate = evaluate, .cost = cost, .split = split_recurrent};
  return def;
}

}  // namespace gacer
