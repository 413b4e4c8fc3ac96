#include "ops/common.h"
#include "ops/recurrent.h"

namespace gacer {
namespace {

std::vector<GateActivation> activations(const Node& node, int direction) {
  return gate_activations(node, direction, 1, {"Tanh"});
}

std::vector<OutputType> infer(const InferContext& context) {
  std::vector<OutputType> outputs = infer_recurrent(context, 1, /*has_cell=*/false);
  activations(context.node(), 0);
  return outputs;
}

void evaluate_f32(const EvalContext& context) {
  evaluate_recurrent(
      context, 1, /*has_cell=*/false, [&](const RecurrentSizes& sizes, int direction) -> Cell {
        return [f = activations(context.node, direction)[0], clip = gate_clip(context.node),
                hidden = sizes.hidden](const CellStep& step) {
          for (std::int64_t j = 0; j < hidden; ++j)
            step.h[j] = f(clip(step.input[j] + step.recurrent[j] + step.bias[j]));
        };
      });
}

void evaluate(const EvalContext& context) { evaluate_in_f32(context, evaluate_f32); }

Cost cost(const Graph& graph, const Node& node) { return recurrent_cost(graph, node, 1); }

}  // namespace

const OpDef& op_rnn() {
  static const OpDef def{
      .name = "RNN", .infer = infer, .evaluate = evaluate, .cost = cost, .split = split_recurrent};
  return def;
}

}  // namespace gacer
