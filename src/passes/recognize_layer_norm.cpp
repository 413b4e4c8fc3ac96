// Recognises layer normalisation that is spelled out:
//   d = x - mean(x);  y = d / sqrt(mean(d^2) + epsilon) * gamma + beta
// over trailing axes, with constant gamma and beta.

#include <algorithm>

#include "passes/rewrite.h"

namespace gacer {
namespace {

/// The first axis of a mean over all trailing axes with kept dimensions, or nothing.
std::optional<int> trailing_axis(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (node.attributes.get_int("keepdims", 1) == 0) return std::nullopt;
  if (node.inputs.size() < 2 || node.inputs[1] == kNone || !graph.is_constant(node.inputs[1]))
    return std::nullopt;
  const auto data = graph.value(node.inputs[1]).constant->data<std::int64_t>();
  std::vector<std::int64_t> axes(data.begin(), data.end());
  if (axes.empty()) return std::nullopt;
  const int rank = graph.value(node.inputs[0]).shape.rank();
  for (std::int64_t& axis : axes) axis = axis < 0 ? axis + rank : axis;
  std::sort(axes.begin(), axes.end());
  for (std::size_t i = 0; i < axes.size(); ++i)
    if (axes[i] != rank - static_cast<std::int64_t>(axes.size() - i)) return std::nullopt;
  return static_cast<int>(axes[0]);
}

struct Match {
  ValueId x = kNone;
  int axis = 0;
  float epsilon = 0;
  ValueId normalized = kNone;  ///< d / sqrt(…)
};

/// d = x - mean(x), as the node that computes it.
std::optional<Match> match_centered(const Graph& graph, const Rewriter& rewriter, ValueId d) {
  const NodeId sub = rewriter.producer(d, "Sub");
  if (sub == kNone) return std::nullopt;
  const ValueId x = graph.node(sub).inputs[0];
  const NodeId mean = rewriter.producer(graph.node(sub).inputs[1], "ReduceMean");
  if (mean == kNone || graph.node(mean).inputs[0] != x) return std::nullopt;
  const std::optional<int> axis = trailing_axis(graph, mean);
  if (!axis) return std::nullopt;
  return Match{x, *axis, 0, kNone};
}

/// Whether `value` is d squared.
bool is_square_of(const Graph& graph, const Rewriter& rewriter, ValueId value, ValueId d) {
  if (const NodeId pow = rewriter.producer(value, "Pow"); pow != kNone)
    return graph.node(pow).inputs[0] == d && rewriter.scalar(graph.node(pow).inputs[1]) == 2.0F;
  const NodeId mul = rewriter.producer(value, "Mul");
  return mul != kNone && graph.node(mul).inputs[0] == d && graph.node(mul).inputs[1] == d;
}

std::optional<Match> match_normalized(const Graph& graph, const Rewriter& rewriter, NodeId div) {
  const Node& node = graph.node(div);
  if (node.op != "Div" || !node.post.empty()) return std::nullopt;
  std::optional<Match> match = match_centered(graph, rewriter, node.inputs[0]);
  const NodeId sqrt = rewriter.producer(node.inputs[1], "Sqrt");
  if (!match || sqrt == kNone) return std::nullopt;
  const NodeId add = rewriter.producer(graph.node(sqrt).inputs[0], "Add");
  if (add == kNone) return std::nullopt;
  const auto shifted = rewriter.split_scalar(add);
  if (!shifted) return std::nullopt;
  const NodeId mean = rewriter.producer(shifted->operand, "ReduceMean");
  if (mean == kNone || trailing_axis(graph, mean) != match->axis) return std::nullopt;
  if (!is_square_of(graph, rewriter, graph.node(mean).inputs[0], node.inputs[0]))
    return std::nullopt;
  match->epsilon = shifted->scalar;
  match->normalized = node.outputs[0];
  return match;
}

/// The constant operand of a Mul or Add, if it has exactly the normalised shape.
ValueId constant_operand(const Graph& graph, NodeId id, ValueId data, const Shape& wanted) {
  const Node& node = graph.node(id);
  const ValueId other = node.inputs[node.inputs[0] == data ? 1 : 0];
  return graph.is_constant(other) && graph.value(other).shape == wanted ? other : kNone;
}

bool rewrite(Graph& graph, const Rewriter& rewriter, NodeId div) {
  const std::optional<Match> match = match_normalized(graph, rewriter, div);
  if (!match) return false;
  const Shape& shape = graph.value(match->x).shape;
  const Shape trailing(std::vector<std::int64_t>(shape.begin() + match->axis, shape.end()));

  NodeId last = div;
  ValueId gamma = kNone;
  ValueId beta = kNone;
  const NodeId mul = rewriter.sole_consumer(match->normalized);
  if (mul != kNone && graph.node(mul).op == "Mul" && graph.node(mul).post.empty())
    gamma = constant_operand(graph, mul, match->normalized, trailing);
  if (gamma != kNone) {
    last = mul;
    const ValueId scaled = graph.node(mul).outputs[0];
    const NodeId add = rewriter.sole_consumer(scaled);
    if (add != kNone && graph.node(add).op == "Add" && graph.node(add).post.empty())
      beta = constant_operand(graph, add, scaled, trailing);
    if (beta != kNone) last = add;
  } else {
    const std::vector<float> ones(static_cast<std::size_t>(trailing.num_elements()), 1.0F);
    gamma = graph.add_constant(graph.value(match->normalized).name + ".gamma",
                               make_float_tensor(graph.value(match->x).dtype, trailing, ones));
  }

  Node& node = graph.node(last);
  node.op = "LayerNormalization";
  node.attributes = {};
  node.attributes.set("axis", static_cast<std::int64_t>(match->axis));
  node.attributes.set("epsilon", match->epsilon);
  node.inputs = {match->x, gamma};
  if (beta != kNone) node.inputs.push_back(beta);
  node.num_op_inputs = static_cast<int>(node.inputs.size());
  if (last != div) graph.node(div).is_removed = true;
  if (last != div && last != mul) graph.node(mul).is_removed = true;
  return true;
}

int run(Graph& graph, const PassOptions&) {
  int changes = 0;
  Rewriter rewriter(graph);
  for (NodeId id = 0; id < graph.num_nodes(); ++id) {
    if (graph.node(id).is_removed || !rewrite(graph, rewriter, id)) continue;
    rewriter.refresh();
    ++changes;
  }
  return changes;
}

}  // namespace

const Pass& pass_recognize_layer_norm() {
  static const Pass pass{"recognize_layer_norm",
                         "find layer normalisation spelled out in elementary operators", run};
  return pass;
}

}  // namespace gacer
