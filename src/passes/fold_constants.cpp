// Evaluates nodes whose inputs are all constant. The reader folds shape arithmetic already; this
// catches what earlier passes made constant.

#include <algorithm>

#include "base/parallel.h"
#include "ops/op_def.h"
#include "passes/rewrite.h"

namespace gacer {
namespace {

bool is_foldable(const Graph& graph, const Node& node) {
  if (node.is_removed || node.inputs.empty()) return false;
  const auto is_constant_or_absent = [&](ValueId id) {
    return id == kNone || graph.is_constant(id);
  };
  if (!std::all_of(node.inputs.begin(), node.inputs.end(), is_constant_or_absent)) return false;
  return std::none_of(node.outputs.begin(), node.outputs.end(),
                      [&](ValueId id) { return id != kNone && graph.is_output(id); });
}

void fold(Graph& graph, NodeId id) {
  Node& node = graph.node(id);
  std::vector<TensorView> inputs;
  for (ValueId input : node.inputs)
    inputs.push_back(input == kNone ? TensorView()
                                    : TensorView::of(std::as_const(*graph.value(input).constant)));
  std::vector<Tensor> results;
  std::vector<TensorView> outputs;
  for (ValueId output : node.outputs) {
    results.push_back(
        output == kNone ? Tensor() : Tensor(graph.value(output).dtype, graph.value(output).shape));
    outputs.push_back(output == kNone ? TensorView() : TensorView::of(results.back()));
  }
  SerialTeam team;
  evaluate_node(node, inputs, outputs, team);
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i] == kNone) continue;
    Value& value = graph.value(node.outputs[i]);
    value.constant = std::move(results[i]);
    value.producer = kNone;
  }
  node.is_removed = true;
}

int run(Graph& graph, const PassOptions&) {
  int changes = 0;
  for (NodeId id = 0; id < graph.num_nodes(); ++id) {
    if (!is_foldable(graph, graph.node(id))) continue;
    fold(graph, id);
    ++changes;
  }
  return changes;
}

}  // namespace

const Pass& pass_fold_constants() {
  static const Pass pass{"fold_constants", "evaluate nodes whose inputs are constant", run};
  return pass;
}

}  // namespace gacer
