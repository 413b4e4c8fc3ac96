#include "base/error.h"
#include "ops/common.h"
#include "ops/recurrent.h"

namespace gacer {
namespace {

constexpr int kGates = 4;  // input, output, forget, cell

std::vector<GateActivation> activations(const Node& node, int direction) {
  return gate_activations(node, direction, 3, {"Sigmoid", "Tanh", "Tanh"});
}

std::vector<OutputType> infer(const InferContext& context) {
  std::vector<OutputType> outputs = infer_recurrent(context, kGates, /*has_cell=*/true);
  activations(context.node(), 0);
  return outputs;
}

Cell make_cell(const Node& node, const RecurrentSizes& sizes, int direction) {
  const auto functions = activations(node, direction);
  return [f = functions[0], g = functions[1], out = functions[2], clip = gate_clip(node),
          hidden = sizes.hidden,
          couples = node.attributes.get_int("input_forget", 0) != 0](const CellStep& step) {
    const auto gate = [&](std::int64_t which, std::int64_t j) {
      const std::int64_t at = which * hidden + j;
      return step.input[at] + step.recurrent[at] + step.bias[at];
    };
    const auto peephole = [&](std::int64_t which, std::int64_t j, float cell) {
      return step.peepholes == nullptr ? 0.0F : step.peepholes[which * hidden + j] * cell;
    };
    for (std::int64_t j = 0; j < hidden; ++j) {
      const float previous = step.c[j];
      const float i = f(clip(gate(0, j) + peephole(0, j, previous)));
      const float forget = couples ? 1.0F - i : f(clip(gate(2, j) + peephole(2, j, previous)));
      const float candidate = g(clip(gate(3, j)));
      const float c = forget * previous + i * candidate;
      const float o = f(clip(gate(1, j) + peephole(1, j, c)));
      step.c[j] = c;
      step.h[j] = o * out(c);
    }
  };
}

void evaluate_f32(const EvalContext& context) {
  evaluate_recurrent(context, kGates, /*has_cell=*/true,
                     [&](const RecurrentSizes& sizes, int direction) {
                       return make_cell(context.node, sizes, direction);
                     });
}

void evaluate(const EvalContext& context) { evaluate_in_f32(context, evaluate_f32); }

Cost cost(const Graph& graph, const Node& node) { return recurrent_cost(graph, node, kGates); }

}  // namespace

const OpDef& op_lstm() {
  static const OpDef def{
      .name = "LSTM", .infer = infer, .evaluate = evaluate, .cost = cost, .split = split_recurrent};
  return def;
}

}  // namespace gacer
