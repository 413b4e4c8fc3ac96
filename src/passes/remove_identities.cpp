// Drops operators that hand on their input as it is: Identity, Dropout at inference, Cast to the
// same type, Reshape, Flatten, Expand and friends to the same shape, transposes that move nothing;
// and joins a Reshape that follows a Reshape.

#include <numeric>

#include "passes/rewrite.h"

namespace gacer {
namespace {

bool is_reshape(const std::string& op) {
  return op == "Reshape" || op == "Flatten" || op == "Squeeze" || op == "Unsqueeze";
}

bool is_identity(const Graph& graph, const Node& node) {
  if (!node.post.empty() || node.inputs.empty() || node.inputs[0] == kNone) return false;
  const Value& in = graph.value(node.inputs[0]);
  const Value& out = graph.value(node.outputs[0]);
  if (in.dtype != out.dtype || in.shape != out.shape) return false;
  if (node.op == "Identity" || node.op == "Cast" || node.op == "Expand" || is_reshape(node.op))
    return true;
  if (node.op == "Dropout") return node.outputs.size() < 2 || node.outputs[1] == kNone;
  if (node.op == "Transpose") {
    std::vector<std::int64_t> same(static_cast<std::size_t>(in.shape.rank()));
    std::iota(same.begin(), same.end(), 0);
    return node.attributes.get_ints("perm") == same;
  }
  return node.op == "Slice";  // equal shape: everything is taken (a reversal keeps its own test)
}

bool is_reversing(const Graph& graph, const Node& node) {
  if (node.op != "Slice" || node.inputs.size() < 5 || node.inputs[4] == kNone) return false;
  const auto& steps = graph.value(node.inputs[4]).constant;
  if (!steps) return true;
  for (float step : floats_of(*steps))
    if (step < 0) return true;
  return false;
}

/// Reshape(Reshape(x)) reads x directly.
bool skip_inner_reshape(Graph& graph, const Rewriter& rewriter, Node& node) {
  if (!is_reshape(node.op) || !node.post.empty()) return false;
  const NodeId inner_id = graph.value(node.inputs[0]).producer;
  if (inner_id == kNone) return false;
  const Node& inner = graph.node(inner_id);
  if (!is_reshape(inner.op) || !inner.post.empty() ||
      rewriter.sole_consumer(node.inputs[0]) == kNone)
    return false;
  const ValueId source = inner.inputs[0];
  const Shape& shape = graph.value(node.outputs[0]).shape;
  const Tensor target = Tensor::from<std::int64_t>(Shape{shape.rank()}, shape.dims());
  const std::string name = graph.value(node.outputs[0]).name + ".shape";
  node.op = "Reshape";
  node.attributes = {};
  node.attributes.set("allowzero", std::int64_t{1});
  const ValueId target_id = graph.add_constant(name, target);
  node.inputs = {source, target_id};
  node.num_op_inputs = 2;
  return true;
}

int run(Graph& graph, const PassOptions&) {
  int changes = 0;
  Rewriter rewriter(graph);
  for (NodeId id = 0; id < graph.num_nodes(); ++id) {
    Node& node = graph.node(id);
    if (is_identity(graph, node) && !is_reversing(graph, node)) {
      if (!rewriter.forward(node.outputs[0], node.inputs[0])) continue;
      graph.node(id).is_removed = true;
      ++changes;
    } else if (skip_inner_reshape(graph, rewriter, node)) {
      ++changes;
    } else {
      continue;
    }
    rewriter.refresh();
  }
  return changes;
}

}  // namespace

const Pass& pass_remove_identities() {
  static const Pass pass{"remove_identities", "drop operators that change nothing", run};
  return pass;
}

}  // namespace gacer
