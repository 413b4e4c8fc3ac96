// Fuses softmax(scale * q·kᵀ + mask)·v into one Attention node, and takes the head transposes
// around it along where q, k and v are [B, S, H*D] underneath. A guard that turns the NaN of a
// fully masked row into 0 is what Attention does by itself.

#include <algorithm>
#include <array>

#include "passes/rewrite.h"

namespace gacer {
namespace {

using Ints = std::vector<std::int64_t>;

struct Match {
  ValueId q = kNone, k = kNone, v = kNone, mask = kNone;
  float scale = 1;
  bool is_k_transposed = false;
  NodeId last = kNone;  ///< the second product
};

class AttentionFuser {
 public:
  AttentionFuser(Graph& graph, const PassOptions& options)
      : graph_(graph), options_(options), rewriter_(graph) {}

  int run() {
    int changes = 0;
    for (NodeId id = 0; id < graph_.num_nodes(); ++id) {
      if (graph_.node(id).is_removed || graph_.node(id).op != "Softmax") continue;
      const std::optional<Match> match = match_at(id);
      if (match && replace(*match)) ++changes;
    }
    return changes;
  }

 private:
  const Node& node(NodeId id) const { return graph_.node(id); }
  const Shape& shape(ValueId id) const { return graph_.value(id).shape; }

  /// Walks up through multiplications and divisions by a number.
  ValueId peel_scale(ValueId value, float& scale) const {
    while (true) {
      const NodeId mul = rewriter_.producer(value, "Mul");
      const NodeId div = rewriter_.producer(value, "Div");
      const NodeId id = mul != kNone ? mul : div;
      if (id == kNone) return value;
      const auto scaled = rewriter_.split_scalar(id);
      if (!scaled || (div != kNone && scaled->is_scalar_first)) return value;
      if (shape(scaled->operand) != shape(value)) return value;
      scale = mul != kNone ? scale * scaled->scalar : scale / scaled->scalar;
      value = scaled->operand;
    }
  }

  /// scale * q·kᵀ, read by nothing else.
  bool match_scores(ValueId scores, Match& match) const {
    float scale = 1;
    const ValueId product = peel_scale(scores, scale);
    const NodeId matmul = rewriter_.producer(product, "MatMul");
    if (matmul == kNone || rewriter_.sole_consumer(product) == kNone) return false;
    if (shape(product).rank() != 4) return false;
    match.q = peel_scale(node(matmul).inputs[0], scale);
    match.k = peel_scale(node(matmul).inputs[1], scale);
    match.scale = scale;
    match.is_k_transposed = true;
    return shape(match.q).rank() == 4 && shape(match.k).rank() == 4 &&
           shape(match.q)[0] == shape(match.k)[0] && shape(match.q)[1] == shape(match.k)[1];
  }

  std::optional<Match> match_at(NodeId softmax) const {
    const Node& s = node(softmax);
    const ValueId scores = s.inputs[0];
    const std::int64_t axis = s.attributes.get_int("axis", -1);
    if (shape(scores).rank() != 4 || (axis != -1 && axis != 3) || !s.post.empty())
      return std::nullopt;
    if (rewriter_.sole_consumer(scores) == kNone) return std::nullopt;
    Match match;
    if (!match_scores(scores, match)) {
      const NodeId add = rewriter_.producer(scores, "Add");
      if (add == kNone) return std::nullopt;
      const std::vector<ValueId>& terms = node(add).inputs;
      bool is_found = false;
      for (std::size_t i : {0u, 1u}) {
        if (is_found || shape(terms[i]) != shape(scores)) continue;
        is_found = match_scores(terms[i], match) && rewriter_.sole_consumer(terms[i]) != kNone;
        match.mask = terms[1 - i];
      }
      if (!is_found) return std::nullopt;
    }
    const ValueId weights = skip_nan_guard(s.outputs[0]);
    match.last = weights == kNone ? kNone : rewriter_.sole_consumer(weights);
    if (match.last == kNone || node(match.last).op != "MatMul" || !node(match.last).post.empty())
      return std::nullopt;
    if (node(match.last).inputs[0] != weights) return std::nullopt;
    match.v = node(match.last).inputs[1];
    const bool agrees = shape(match.v).rank() == 4 && shape(match.v)[0] == shape(match.q)[0] &&
                        shape(match.v)[1] == shape(match.q)[1];
    if (!agrees) return std::nullopt;
    untranspose_keys(match);
    return match;
  }

  /// Where(IsNaN(p), 0, p) → its result; p itself when nothing guards it; kNone when others read p.
  ValueId skip_nan_guard(ValueId p) const {
    if (rewriter_.sole_consumer(p) != kNone) return p;
    if (graph_.is_output(p) || rewriter_.consumers(p).size() != 2) return kNone;
    const NodeId is_nan = rewriter_.consumers(p)[0];
    const NodeId where = rewriter_.consumers(p)[1];
    if (node(is_nan).op != "IsNaN" || node(where).op != "Where") return kNone;
    const std::vector<ValueId>& inputs = node(where).inputs;
    if (inputs[0] != node(is_nan).outputs[0] || inputs[2] != p) return kNone;
    return rewriter_.scalar(inputs[1]) == 0.0F ? node(where).outputs[0] : kNone;
  }

  /// Finds the keys as [B, H, S, D] behind the transposition, which may be done on [B*H, S, D].
  void untranspose_keys(Match& match) const {
    const Shape& s = shape(match.k);
    ValueId value = match.k;
    if (const NodeId outer = rewriter_.producer(value, "Reshape"); outer != kNone)
      value = node(outer).inputs[0];
    const NodeId transpose = rewriter_.producer(value, "Transpose");
    if (transpose == kNone) return;
    const Ints perm = node(transpose).attributes.get_ints("perm");
    value = node(transpose).inputs[0];
    if (perm == Ints{0, 2, 1} && shape(value) == Shape{s[0] * s[1], s[3], s[2]}) {
      const NodeId inner = rewriter_.producer(value, "Reshape");
      if (inner == kNone) return;
      value = node(inner).inputs[0];
      if (shape(value) != Shape{s[0], s[1], s[3], s[2]}) return;
    } else if (perm != Ints{0, 1, 3, 2} || node(transpose).outputs[0] != match.k) {
      return;
    }
    match.k = value;
    match.is_k_transposed = false;
  }

  /// For a [B, H, S, D] value made of [B, S, H*D] by Reshape and Transpose: that; else kNone.
  ValueId flat_heads(ValueId value) const {
    const Shape& s = shape(value);
    const NodeId transpose = rewriter_.producer(value, "Transpose");
    if (transpose == kNone || node(transpose).attributes.get_ints("perm") != Ints{0, 2, 1, 3})
      return kNone;
    const NodeId reshape = rewriter_.producer(node(transpose).inputs[0], "Reshape");
    if (reshape == kNone) return kNone;
    const ValueId flat = node(reshape).inputs[0];
    return shape(flat) == Shape{s[0], s[2], s[1] * s[3]} ? flat : kNone;
  }

  bool replace(const Match& match) {
    Node attention;
    attention.op = "Attention";
    attention.attributes.set("scale", match.scale);
    attention.inputs = {match.q, match.k, match.v};
    attention.attributes.set("k_transposed", std::int64_t{match.is_k_transposed});
    if (match.mask != kNone) attention.inputs.push_back(match.mask);
    attention.num_op_inputs = static_cast<int>(attention.inputs.size());

    NodeId at = match.last;
    const Node before = node(at);
    attention.name = before.name;
    attention.outputs = before.outputs;
    const NodeId end = flatten_heads(match, attention);
    if (end != kNone) at = end;

    const SupportCheck check(graph_, match.last, options_);
    const Node replaced = node(at);
    const Shape old_shape = shape(replaced.outputs[0]);
    if (end != kNone) {
      attention.outputs = replaced.outputs;
      graph_.value(replaced.outputs[0]).shape = shape(attention.inputs[0]);
      graph_.value(replaced.outputs[0]).shape[2] = shape(attention.inputs[2])[2];
    }
    graph_.node(at) = std::move(attention);
    if (!check.may_stay(at)) {
      graph_.node(at) = replaced;
      graph_.value(replaced.outputs[0]).shape = old_shape;
      return false;
    }
    rewriter_.refresh();
    return true;
  }

  /// Switches the node to the layout [B, S, H*D] where all operands and the result have it; returns
  /// the node whose result Attention then gives, else kNone: the Reshape that joins the heads, or
  /// the Transpose before it where the Reshape does more than that.
  NodeId flatten_heads(const Match& match, Node& attention) const {
    if (match.is_k_transposed) return kNone;
    const NodeId transpose = rewriter_.sole_consumer(node(match.last).outputs[0]);
    if (transpose == kNone || node(transpose).op != "Transpose" || !node(transpose).post.empty())
      return kNone;
    if (node(transpose).attributes.get_ints("perm") != Ints{0, 2, 1, 3}) return kNone;
    // Only a Reshape may follow: it does not care which of the two shapes it reads.
    const NodeId reshape = rewriter_.sole_consumer(node(transpose).outputs[0]);
    if (reshape == kNone || node(reshape).op != "Reshape") return kNone;
    std::array<ValueId, 3> flat = {flat_heads(match.q), flat_heads(match.k), flat_heads(match.v)};
    if (std::find(flat.begin(), flat.end(), kNone) != flat.end()) return kNone;
    std::copy(flat.begin(), flat.end(), attention.inputs.begin());
    attention.attributes.erase("k_transposed");
    attention.attributes.set("layout", std::string("bshd"));
    attention.attributes.set("num_heads", shape(match.q)[1]);
    const bool joins_heads = shape(node(reshape).outputs[0]) ==
                             Shape{shape(flat[0])[0], shape(flat[0])[1], shape(flat[2])[2]};
    return joins_heads ? reshape : transpose;
  }

  Graph& graph_;
  const PassOptions& options_;
  Rewriter rewriter_;
};

int run(Graph& graph, const PassOptions& options) { return AttentionFuser(graph, options).run(); }

}  // namespace

const Pass& pass_fuse_attention() {
  static const Pass pass{"fuse_attention", "softmax(scale*q·kᵀ + mask)·v as one node", run};
  return pass;
}

}  // namespace gacer
