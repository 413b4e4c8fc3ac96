// MatMul and Gemm with a constant matrix become Linear (x · W + bias), the form that kernels pack
// weights for. The bias is what a following Add puts on the last axis.

#include "base/dtype.h"
#include "passes/rewrite.h"

namespace gacer {
namespace {

bool is_matrix_constant(const Graph& graph, ValueId id) {
  return graph.is_constant(id) && graph.value(id).shape.rank() == 2;
}

/// Whether a constant is one number per column of `shape`'s last axis.
bool is_row_vector(const Graph& graph, ValueId id, const Shape& shape) {
  if (!graph.is_constant(id)) return false;
  const Value& value = graph.value(id);
  const std::int64_t columns = shape[shape.rank() - 1];
  return value.shape.rank() >= 1 && value.shape.num_elements() == columns &&
         value.shape[value.shape.rank() - 1] == columns;
}

/// Gemm without alpha, beta and transA is a Linear already.
bool convert_gemm(Graph& graph, NodeId id) {
  Node& node = graph.node(id);
  if (!is_matrix_constant(graph, node.inputs[1])) return false;
  if (node.attributes.get_float("alpha", 1) != 1 || node.attributes.get_int("transA", 0) != 0)
    return false;
  const bool has_bias = node.inputs.size() > 2 && node.inputs[2] != kNone;
  if (has_bias) {
    if (node.attributes.get_float("beta", 1) != 1) return false;
    if (!is_row_vector(graph, node.inputs[2], graph.value(node.outputs[0]).shape)) return false;
  }
  const std::int64_t trans_b = node.attributes.get_int("transB", 0);
  node.op = "Linear";
  node.attributes = {};
  node.attributes.set("transB", trans_b);
  return true;
}

bool convert_matmul(Graph& graph, NodeId id) {
  Node& node = graph.node(id);
  const Value& first = graph.value(node.inputs[0]);
  if (!is_matrix_constant(graph, node.inputs[1]) || first.shape.rank() < 2 ||
      !is_float(first.dtype))
    return false;
  node.op = "Linear";
  node.attributes.set("transB", std::int64_t{0});
  return true;
}

/// Takes a following Add with a row vector as the bias.
void take_bias(Graph& graph, Rewriter& rewriter, NodeId id) {
  if (graph.node(id).inputs.size() > 2) return;
  const ValueId out = graph.node(id).outputs[0];
  const NodeId add = rewriter.sole_consumer(out);
  if (add == kNone || graph.node(add).op != "Add" || !graph.node(add).post.empty()) return;
  const std::vector<ValueId>& operands = graph.node(add).inputs;
  const ValueId bias = operands[operands[0] == out ? 1 : 0];
  const ValueId sum = graph.node(add).outputs[0];
  const Shape& shape = graph.value(out).shape;
  if (!is_row_vector(graph, bias, shape) || graph.value(sum).shape != shape) return;
  ValueId vector = bias;
  if (graph.value(bias).shape.rank() != 1) {
    const Shape flat{graph.value(bias).shape.num_elements()};
    vector = graph.add_constant(graph.value(bias).name + ".row",
                                graph.value(bias).constant->reshaped(flat));
  }
  Node& node = graph.node(id);
  node.inputs.push_back(vector);
  node.num_op_inputs = 3;
  node.outputs[0] = sum;
  graph.value(sum).producer = id;
  graph.node(add).is_removed = true;
  rewriter.refresh();
}

int run(Graph& graph, const PassOptions&) {
  int changes = 0;
  Rewriter rewriter(graph);
  for (NodeId id = 0; id < graph.num_nodes(); ++id) {
    const Node& node = graph.node(id);
    if (node.is_removed || !node.post.empty()) continue;
    const bool is_linear = (node.op == "Gemm" && convert_gemm(graph, id)) ||
                           (node.op == "MatMul" && convert_matmul(graph, id));
    if (!is_linear) continue;
    take_bias(graph, rewriter, id);
    ++changes;
  }
  return changes;
}

}  // namespace

const Pass& pass_make_linear() {
  static const Pass pass{"make_linear", "matrix products with constant weights, bias included",
                         run};
  return pass;
}

}  // namespace gacer
