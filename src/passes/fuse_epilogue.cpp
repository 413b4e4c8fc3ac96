// Fuses what follows an operator pointwise into the node: a residual Add, a Mul with a gate of the
// same shape, activations. The fused node takes the place of the last operator it swallows, so that
// a residual produced in between is ready.

#include <algorithm>
#include <array>
#include <limits>

#include "passes/rewrite.h"

namespace gacer {
namespace {

constexpr std::array kAnchors = {"Conv", "ConvTranspose",      "Linear", "MatMul",
                                 "Gemm", "BatchNormalization", "Add",    "Mul"};

/// The operator as a post-op, if it is an activation whose parameters are known.
std::optional<PostOp> as_activation(const Rewriter& rewriter, const Node& node) {
  PostOp post;
  const auto with = [&](Activation activation, float alpha = 0, float beta = 0) {
    post.activation = activation;
    post.alpha = alpha;
    post.beta = beta;
    return post;
  };
  const Attributes& a = node.attributes;
  if (node.op == "Relu") return with(Activation::kRelu);
  if (node.op == "Sigmoid") return with(Activation::kSigmoid);
  if (node.op == "Tanh") return with(Activation::kTanh);
  if (node.op == "Silu") return with(Activation::kSilu);
  if (node.op == "HardSwish") return with(Activation::kHardSwish);
  if (node.op == "LeakyRelu") return with(Activation::kLeakyRelu, a.get_float("alpha", 0.01F));
  if (node.op == "Elu") return with(Activation::kElu, a.get_float("alpha", 1));
  if (node.op == "HardSigmoid")
    return with(Activation::kHardSigmoid, a.get_float("alpha", 0.2F), a.get_float("beta", 0.5F));
  if (node.op == "Gelu")
    return with(a.get_string("approximate", "none") == "tanh" ? Activation::kGeluTanh
                                                              : Activation::kGelu);
  if (node.op == "Clip") {
    std::array<float, 2> limits = {std::numeric_limits<float>::lowest(),
                                   std::numeric_limits<float>::max()};
    for (std::size_t i = 0; i < 2; ++i) {
      if (node.inputs.size() <= i + 1 || node.inputs[i + 1] == kNone) continue;
      const std::optional<float> limit = rewriter.scalar(node.inputs[i + 1]);
      if (!limit) return std::nullopt;
      limits[i] = *limit;
    }
    limits[0] = std::min(limits[0], limits[1]);  // the upper one wins where they cross
    if (limits[0] == 0 && limits[1] == std::numeric_limits<float>::max())
      return with(Activation::kRelu);
    return with(Activation::kClip, limits[0], limits[1]);
  }
  return std::nullopt;
}

class EpilogueFuser {
 public:
  EpilogueFuser(Graph& graph, const PassOptions& options)
      : graph_(graph), options_(options), rewriter_(graph) {}

  int run() {
    int changes = 0;
    for (NodeId id = 0; id < graph_.num_nodes(); ++id) {
      const Node& node = graph_.node(id);
      const bool is_anchor = std::find(kAnchors.begin(), kAnchors.end(), node.op) != kAnchors.end();
      if (node.is_removed || !is_anchor || !is_float32(node)) continue;
      // The node moves to the place of what it swallows, and is met again there.
      if (swallow_next(id)) ++changes;
    }
    return changes;
  }

 private:
  bool is_float32(const Node& node) const {
    return node.outputs.size() == 1 && graph_.value(node.outputs[0]).dtype == DType::kF32;
  }

  bool swallow_next(NodeId id) {
    const ValueId out = graph_.node(id).outputs[0];
    const NodeId next = rewriter_.sole_consumer(out);
    if (next == kNone) return false;
    const Node follower = graph_.node(next);
    if (!follower.post.empty() || follower.outputs.size() != 1) return false;
    const Value& result = graph_.value(follower.outputs[0]);
    if (result.shape != graph_.value(out).shape || result.dtype != DType::kF32) return false;

    Node fused = graph_.node(id);
    if (std::optional<PostOp> post = as_activation(rewriter_, follower)) {
      fused.post.push_back(*post);
    } else if (follower.op == "Add" || follower.op == "Mul") {
      if (follower.inputs.size() != 2) return false;
      const ValueId other = follower.inputs[follower.inputs[0] == out ? 1 : 0];
      if (!is_worth_fusing(id, other, out)) return false;
      PostOp operand;
      operand.kind = follower.op == "Add" ? PostOp::Kind::kAdd : PostOp::Kind::kMul;
      operand.input = static_cast<int>(fused.inputs.size());
      fused.inputs.push_back(other);
      fused.post.push_back(operand);
    } else {
      return false;
    }
    return replace(id, next, std::move(fused), follower);
  }

  /// Second operands: whole tensors only (kernels read them like the result), and pointwise nodes
  /// take activations alone: a chain of additions gains nothing.
  bool is_worth_fusing(NodeId id, ValueId other, ValueId out) const {
    const Node& node = graph_.node(id);
    if (node.op == "Add" || node.op == "Mul") return false;
    const Value& operand = graph_.value(other);
    return operand.dtype == DType::kF32 && operand.shape == graph_.value(out).shape;
  }

  bool replace(NodeId id, NodeId next, Node fused, const Node& follower) {
    const SupportCheck check(graph_, id, options_);
    fused.outputs = follower.outputs;
    graph_.node(next) = std::move(fused);
    if (!check.may_stay(next)) {
      graph_.node(next) = follower;
      return false;
    }
    graph_.node(id).is_removed = true;
    rewriter_.refresh();
    return true;
  }

  Graph& graph_;
  const PassOptions& options_;
  Rewriter rewriter_;
};

int run(Graph& graph, const PassOptions& options) { return EpilogueFuser(graph, options).run(); }

}  // namespace

const Pass& pass_fuse_epilogue() {
  static const Pass pass{"fuse_epilogue", "fuse residual, gate and activations into their producer",
                         run};
  return pass;
}

}  // namespace gacer
