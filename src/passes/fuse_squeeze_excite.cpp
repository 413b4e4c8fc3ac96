// Makes one operator of what squeezes an image to its channels' means and runs two convolutions on
// that single position (SqueezeExcite): three launches of next to no work each. Only where a kernel
// takes the fused node. Runs before values become parts of others (concat_in_place).

#include <algorithm>
#include <numeric>

#include "ops/common.h"
#include "ops/windows.h"
#include "passes/rewrite.h"

namespace gacer {
namespace {

bool is_ones(const std::vector<std::int64_t>& numbers) {
  return std::all_of(numbers.begin(), numbers.end(), [](std::int64_t n) { return n == 1; });
}
bool is_zeros(const std::vector<std::int64_t>& numbers) {
  return std::all_of(numbers.begin(), numbers.end(), [](std::int64_t n) { return n == 0; });
}

bool has_only_activations(const Node& node) {
  return std::all_of(node.post.begin(), node.post.end(),
                     [](const PostOp& post) { return post.kind == PostOp::Kind::kActivation; });
}

class SqueezeExciteFuser {
 public:
  SqueezeExciteFuser(Graph& graph, const PassOptions& options)
      : graph_(graph), options_(options), rewriter_(graph) {}

  int run() {
    // Passes ask what a device likes; without one there is nobody to gain.
    if (!options_.is_supported) return 0;
    int changes = 0;
    for (NodeId id = 0; id < graph_.num_nodes(); ++id)
      if (fuse(id)) ++changes;
    return changes;
  }

 private:
  /// What makes a value that nothing but `reader` reads, Reorders of the value left aside: a single
  /// position has one layout. kNone otherwise.
  NodeId own_producer(ValueId value, NodeId reader) const {
    while (rewriter_.sole_consumer(value) == reader && !graph_.value(value).slice_of) {
      const NodeId producer = graph_.value(value).producer;
      if (producer == kNone || !is_reorder(producer)) return producer;
      reader = producer;
      value = graph_.node(producer).inputs[0];
    }
    return kNone;
  }

  bool is_reorder(NodeId id) const {
    return graph_.node(id).op == "Reorder" && graph_.node(id).post.empty();
  }

  /// Whether a node is a product with constant operands if its image has one position, where a
  /// window without padding can only be that position.
  bool is_product(const Node& node) const {
    if (node.op != "Conv" || !has_only_activations(node)) return false;
    if (node.attributes.get_int("group", 1) != 1) return false;
    for (int i = 1; i < node.num_op_inputs; ++i) {
      const ValueId operand = node.inputs[static_cast<std::size_t>(i)];
      if (operand != kNone && !graph_.is_constant(operand)) return false;
    }
    const Windows windows =
        conv_windows(node, graph_.value(node.inputs[0]).shape, graph_.value(node.inputs[1]).shape);
    return is_ones(windows.strides) && is_ones(windows.dilations) && is_zeros(windows.pads_begin) &&
           is_zeros(windows.pads_end);
  }

  /// Whether a node takes the mean over all positions of each channel, of an image of a rank that
  /// SqueezeExcite takes. The axes are kept: a convolution reads the result.
  bool is_mean(const Node& node) const {
    const bool reduces = node.op == "ReduceMean";
    if ((!reduces && node.op != "GlobalAveragePool") || !node.post.empty()) return false;
    const int rank = graph_.value(node.inputs[0]).shape.rank();
    if (rank < 3 || rank > 4) return false;
    if (!reduces) return true;
    if (node.num_op_inputs < 2 || !graph_.is_constant(node.inputs[1])) return false;
    std::vector<int> positions(static_cast<std::size_t>(rank - 2));
    std::iota(positions.begin(), positions.end(), 2);
    return normalize_axes(ints_of(*graph_.value(node.inputs[1]).constant), rank) == positions;
  }

  /// The image in the layout that it was made in: a Reorder may have been there for the mean.
  ValueId image_of(const Node& mean) const {
    const NodeId producer = graph_.value(mean.inputs[0]).producer;
    return producer != kNone && is_reorder(producer) ? graph_.node(producer).inputs[0]
                                                     : mean.inputs[0];
  }

  bool fuse(NodeId id) {
    const Node last = graph_.node(id);
    if (last.is_removed || !is_product(last)) return false;
    const NodeId first_id = own_producer(last.inputs[0], id);
    if (first_id == kNone) return false;
    const Node& first = graph_.node(first_id);
    if (!is_product(first) || first.post.size() > 1) return false;
    const NodeId mean_id = own_producer(first.inputs[0], first_id);
    if (mean_id == kNone || !is_mean(graph_.node(mean_id))) return false;

    graph_.node(id) = fused_node(graph_.node(mean_id), first, last);
    if (!has_plain_operands(graph_.node(id)) || !options_.is_supported(graph_, id)) {
      graph_.node(id) = last;
      return false;
    }
    remove_up_to(mean_id, last.inputs[0]);
    return true;
  }

  /// Removes what makes a value, back to the mean that it comes from.
  void remove_up_to(NodeId mean, ValueId value) {
    while (!graph_.node(mean).is_removed) {
      Node& node = graph_.node(graph_.value(value).producer);
      node.is_removed = true;
      value = node.inputs[0];
    }
    rewriter_.refresh();
  }

  Node fused_node(const Node& mean, const Node& first, const Node& last) const {
    const auto bias = [](const Node& conv) {
      return conv.num_op_inputs > 2 ? conv.inputs[2] : kNone;
    };
    const PostOp post = first.post.empty() ? PostOp() : first.post[0];
    Node fused;
    fused.op = "SqueezeExcite";
    fused.name = last.name;
    fused.inputs = {image_of(mean), first.inputs[1], bias(first), last.inputs[1], bias(last)};
    fused.num_op_inputs = static_cast<int>(fused.inputs.size());
    fused.outputs = last.outputs;
    fused.post = last.post;
    fused.attributes.set("activation", std::string(to_string(post.activation)));
    fused.attributes.set("alpha", post.alpha);
    fused.attributes.set("beta", post.beta);
    return fused;
  }

  /// Whether all operands have the image's type, and none of them is a part of another value.
  bool has_plain_operands(const Node& node) const {
    const auto agrees = [&](ValueId id) {
      return id == kNone || (graph_.value(id).dtype == graph_.value(node.inputs[0]).dtype &&
                             !graph_.value(id).slice_of);
    };
    return std::all_of(node.inputs.begin(), node.inputs.end(), agrees) &&
           std::all_of(node.outputs.begin(), node.outputs.end(), agrees);
  }

  Graph& graph_;
  const PassOptions& options_;
  Rewriter rewriter_;
};

int run(Graph& graph, const PassOptions& options) {
  return SqueezeExciteFuser(graph, options).run();
}

}  // namespace

const Pass& pass_fuse_squeeze_excite() {
  static const Pass pass{"fuse_squeeze_excite",
                         "make one operator of a global mean and two convolutions of its result",
                         run};
  return pass;
}

}  // namespace gacer
