// Spares the Casts at the borders of a half-precision model, each a launch of its own: a
// convolution reads an f32 image and rounds it as it loads, a product writes the f32 sums that it
// has anyway. Only where a kernel takes the mixed node, which the device need not have. Runs before
// values become parts of others (concat_in_place).

#include <algorithm>
#include <array>

#include "passes/rewrite.h"

namespace gacer {
namespace {

constexpr std::array kReaders = {"Conv"};
constexpr std::array kWriters = {"Conv", "Linear", "MatMul", "Gemm"};

template <std::size_t N>
bool is_one_of(const std::array<const char*, N>& names, const std::string& op) {
  return std::find(names.begin(), names.end(), op) != names.end();
}

bool is_half(const Value& value) {
  return value.dtype == DType::kF16 || value.dtype == DType::kBF16;
}

class CastFuser {
 public:
  CastFuser(Graph& graph, const PassOptions& options)
      : graph_(graph), options_(options), rewriter_(graph) {}

  int run() {
    int changes = 0;
    for (NodeId id = 0; id < graph_.num_nodes(); ++id) {
      const Node& node = graph_.node(id);
      if (node.is_removed || node.op != "Cast" || !node.post.empty()) continue;
      const Value& from = graph_.value(node.inputs[0]);
      const Value& to = graph_.value(node.outputs[0]);
      if (from.layout != to.layout) continue;
      const bool narrows = from.dtype == DType::kF32 && is_half(to);
      const bool widens = is_half(from) && to.dtype == DType::kF32;
      if ((narrows && move_to_reader(id)) || (widens && move_to_writer(id))) ++changes;
    }
    return changes;
  }

 private:
  bool is_supported(NodeId id) const {
    return !options_.is_supported || options_.is_supported(graph_, id);
  }

  /// The only reader takes the wide value for its data; weights and result stay narrow.
  bool move_to_reader(NodeId cast) {
    const ValueId wide = graph_.node(cast).inputs[0];
    const ValueId narrow = graph_.node(cast).outputs[0];
    const NodeId reader = rewriter_.sole_consumer(narrow);
    if (reader == kNone) return false;
    Node& node = graph_.node(reader);
    if (!is_one_of(kReaders, node.op) || node.inputs[0] != narrow ||
        graph_.value(node.outputs[0]).dtype != graph_.value(narrow).dtype)
      return false;
    node.inputs[0] = wide;
    if (!is_supported(reader)) {
      node.inputs[0] = narrow;
      return false;
    }
    remove(cast);
    return true;
  }

  /// The node that makes the narrow value takes the Cast's place, and its result's name.
  bool move_to_writer(NodeId cast) {
    const ValueId narrow = graph_.node(cast).inputs[0];
    const NodeId writer = graph_.value(narrow).producer;
    if (writer == kNone || rewriter_.sole_consumer(narrow) != cast) return false;
    const Node& node = graph_.node(writer);
    if (!is_one_of(kWriters, node.op) || node.outputs.size() != 1 ||
        graph_.value(node.inputs[0]).dtype != graph_.value(narrow).dtype ||
        !has_posts_of(node, DType::kF32))
      return false;
    const Node before = graph_.node(cast);
    Node wide = node;
    wide.outputs = before.outputs;
    graph_.node(cast) = std::move(wide);
    if (!is_supported(cast)) {
      graph_.node(cast) = before;
      return false;
    }
    remove(writer);
    return true;
  }

  /// Whether operands of post-ops have a type. Kernels fuse those that have the result's; others
  /// would cost the launch that the Cast did.
  bool has_posts_of(const Node& node, DType dtype) const {
    return std::all_of(node.post.begin(), node.post.end(), [&](const PostOp& post) {
      return post.input == kNone ||
             graph_.value(node.inputs[static_cast<std::size_t>(post.input)]).dtype == dtype;
    });
  }

  void remove(NodeId id) {
    graph_.node(id).is_removed = true;
    rewriter_.refresh();
  }

  Graph& graph_;
  const PassOptions& options_;
  Rewriter rewriter_;
};

int run(Graph& graph, const PassOptions& options) { return CastFuser(graph, options).run(); }

}  // namespace

const Pass& pass_fuse_casts() {
  static const Pass pass{"fuse_casts", "convert to and from half precision in the node beside",
                         run};
  return pass;
}

}  // namespace gacer
