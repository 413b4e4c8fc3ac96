// Recognises activations that are spelled out in elementary operators (x * clip(x + 3, 0, 6) / 6,
// 0.5 * x * (1 + erf(x / sqrt 2)), x * sigmoid(x), …), however they are associated: a cone of
// pointwise operators over one value and scalar constants is a function of one variable, so it is
// evaluated on sample points and compared with the activations that kernels know.

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/dtype.h"
#include "base/parallel.h"
#include "ops/op_def.h"
#include "passes/rewrite.h"

namespace gacer {
namespace {

constexpr int kMaxConeNodes = 12;

/// Points that tell the activations apart: dense where they bend, sparse far out.
const std::vector<float>& sample_points() {
  static const std::vector<float> points = [] {
    std::vector<float> list;
    for (int i = -512; i <= 512; ++i) list.push_back(static_cast<float>(i) / 64.0F);
    for (float far : {10.0F, 20.0F, 50.0F, 1e2F, 1e3F, 1e4F, 6e4F}) {
      list.push_back(far);
      list.push_back(-far);
    }
    return list;
  }();
  return points;
}

/// Whether rounding explains the difference from an activation's value at x. What is exactly 0 or 1
/// far out, and the small values of a sigmoid, are not to be confused with a bound that keeps a
/// logarithm finite.
bool is_close(Activation activation, float x, float value, float expected) {
  constexpr float kFar = 50;
  const bool is_bound = expected == 0 || expected == 1;
  if (is_bound && std::abs(x) >= kFar) return value == expected;
  if (activation == Activation::kSigmoid || activation == Activation::kSilu)
    return std::abs(value - expected) <= 1e-5F * std::abs(expected) + 1e-37F;
  return std::abs(value - expected) <= 2e-6F * std::max(1.0F, std::abs(expected));
}

/// Nodes between one value and another, ascending; they compute `to` from `from` and scalars.
struct Cone {
  std::vector<NodeId> nodes;
  ValueId from = kNone;
};

class Recognizer {
 public:
  explicit Recognizer(Graph& graph) : graph_(graph), rewriter_(graph) {}

  int run() {
    int changes = 0;
    for (NodeId id = graph_.num_nodes(); id-- > 0;)
      if (!graph_.node(id).is_removed && is_pointwise(graph_.node(id)) && replace(id)) ++changes;
    return changes;
  }

 private:
  static bool is_pointwise(const Node& node) {
    const OpDef* def = find_op(node.op);
    return def != nullptr && def->is_pointwise && node.post.empty() && node.outputs.size() == 1;
  }

  /// Grows the cone of `root` towards the inputs, trying each single variable that it comes to.
  bool replace(NodeId root) {
    const ValueId to = graph_.node(root).outputs[0];
    if (graph_.value(to).dtype != DType::kF32) return false;
    std::set<NodeId> nodes;
    std::set<ValueId> frontier = {to};
    while (static_cast<int>(nodes.size()) < kMaxConeNodes) {
      // The value produced last: nothing of the cone that is still to come can need it.
      NodeId next = kNone;
      for (ValueId value : frontier) next = std::max(next, graph_.value(value).producer);
      if (next == kNone || !is_pointwise(graph_.node(next))) return false;
      const ValueId result = graph_.node(next).outputs[0];
      if (result != to && !is_private(result, nodes)) return false;
      nodes.insert(next);
      frontier.erase(result);
      for (ValueId input : graph_.node(next).inputs) {
        if (input == kNone || rewriter_.scalar(input)) continue;
        if (graph_.value(input).shape != graph_.value(to).shape) return false;
        frontier.insert(input);
      }
      if (frontier.size() != 1 || nodes.size() < 2) continue;
      const Cone cone{{nodes.begin(), nodes.end()}, *frontier.begin()};
      if (graph_.value(cone.from).dtype != DType::kF32) return false;
      if (match(cone, root)) return true;
    }
    return false;
  }

  /// Whether only nodes of the cone read a value.
  bool is_private(ValueId value, const std::set<NodeId>& cone) const {
    if (graph_.is_output(value)) return false;
    const std::vector<NodeId>& readers = rewriter_.consumers(value);
    return std::all_of(readers.begin(), readers.end(),
                       [&](NodeId reader) { return cone.count(reader) != 0; });
  }

  /// The cone's function on the sample points.
  std::vector<float> sample(const Cone& cone) const {
    const Shape shape{static_cast<std::int64_t>(sample_points().size())};
    std::map<ValueId, Tensor> tensors;
    tensors[cone.from] = Tensor::from<float>(shape, std::span<const float>(sample_points()));
    SerialTeam team;
    for (NodeId id : cone.nodes) {
      const Node& node = graph_.node(id);
      std::vector<TensorView> inputs;
      for (ValueId input : node.inputs) {
        if (input == kNone)
          inputs.emplace_back();
        else if (tensors.count(input) != 0)
          inputs.push_back(TensorView::of(tensors[input]));
        else
          inputs.push_back(constant_view(input));
      }
      Tensor result(graph_.value(node.outputs[0]).dtype, shape);
      const std::vector<TensorView> outputs = {TensorView::of(result)};
      evaluate_node(node, inputs, outputs, team);
      tensors[node.outputs[0]] = result;
    }
    const std::span<const float> values =
        std::as_const(tensors[graph_.node(cone.nodes.back()).outputs[0]]).data<float>();
    return {values.begin(), values.end()};
  }

  TensorView constant_view(ValueId id) const {
    TensorView view = TensorView::of(std::as_const(*graph_.value(id).constant));
    return TensorView(view.data, view.dtype, Shape{});
  }

  bool match(const Cone& cone, NodeId root) {
    const std::vector<float> values = sample(cone);
    const auto is = [&](Activation activation, float alpha = 0, float beta = 0) {
      for (std::size_t i = 0; i < values.size(); ++i) {
        const float x = sample_points()[i];
        if (!is_close(activation, x, values[i], gacer::apply(activation, x, alpha, beta)))
          return false;
      }
      return true;
    };
    Attributes attributes;
    if (is(Activation::kHardSwish)) return become(cone, root, "HardSwish", attributes);
    if (is(Activation::kSilu)) return become(cone, root, "Silu", attributes);
    if (is(Activation::kGelu)) return become(cone, root, "Gelu", attributes);
    if (is(Activation::kGeluTanh)) {
      attributes.set("approximate", std::string("tanh"));
      return become(cone, root, "Gelu", attributes);
    }
    if (is(Activation::kSigmoid)) return become(cone, root, "Sigmoid", attributes);
    for (const float slope : {1.0F / 6.0F, 0.2F}) {
      if (!is(Activation::kHardSigmoid, slope, 0.5F)) continue;
      attributes.set("alpha", slope);
      attributes.set("beta", 0.5F);
      return become(cone, root, "HardSigmoid", attributes);
    }
    return false;
  }

  bool become(const Cone& cone, NodeId root, const std::string& op, const Attributes& attributes) {
    Node& node = graph_.node(root);
    node.op = op;
    node.attributes = attributes;
    node.inputs = {cone.from};
    node.num_op_inputs = 1;
    for (NodeId id : cone.nodes)
      if (id != root) graph_.node(id).is_removed = true;
    rewriter_.refresh();
    return true;
  }

  Graph& graph_;
  Rewriter rewriter_;
};

int run(Graph& graph, const PassOptions&) { return Recognizer(graph).run(); }

}  // namespace

const Pass& pass_recognize_activations() {
  static const Pass pass{"recognize_activations",
                         "find hardswish, silu, gelu, … spelled out in elementary operators", run};
  return pass;
}

}  // namespace gacer
