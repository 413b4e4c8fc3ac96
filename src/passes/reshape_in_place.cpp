// Takes away what only gives elements another shape (Reshape, Flatten, …) or a layout in which they
// lie as before (images of one position): the result becomes a view of the operand.

#include <algorithm>
#include <array>

#include "ops/op_def.h"
#include "passes/rewrite.h"

namespace gacer {
namespace {

constexpr std::array kReshapers = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Reorder"};

class ReshapeViewer {
 public:
  explicit ReshapeViewer(Graph& graph) : graph_(graph) {}

  int run() {
    // A view keeps the batch axis that its node gave it.
    infer_batch_axes(graph_);
    int removed = 0;
    for (NodeId id = 0; id < graph_.num_nodes(); ++id) {
      Node& node = graph_.node(id);
      if (!can_be_view(node)) continue;
      Value& result = graph_.value(node.outputs[0]);
      result.view_of = graph_.root_of(node.inputs[0]);
      result.producer = kNone;
      node.is_removed = true;
      ++removed;
    }
    return removed;
  }

 private:
  bool can_be_view(const Node& node) const {
    if (node.is_removed || !node.post.empty() || !is_reshaper(node.op)) return false;
    const Value& operand = graph_.value(node.inputs[0]);
    const Value& result = graph_.value(node.outputs[0]);
    // The model's outputs have bytes of their own.
    return !operand.constant && !operand.slice_of && !result.slice_of &&
           !graph_.is_output(node.outputs[0]) && !is_root(node.outputs[0]) &&
           operand.dtype == result.dtype && lies_in_order(operand) && lies_in_order(result);
  }

  static bool is_reshaper(const std::string& op) {
    return std::find(kReshapers.begin(), kReshapers.end(), op) != kReshapers.end();
  }

  /// Whether other values are parts of this one.
  bool is_root(ValueId id) const {
    return std::any_of(graph_.values().begin(), graph_.values().end(), [&](const Value& value) {
      return value.slice_of && value.slice_of->root == id;
    });
  }

  Graph& graph_;
};

int run(Graph& graph, const PassOptions& /*options*/) { return ReshapeViewer(graph).run(); }

}  // namespace

const Pass& pass_reshape_in_place() {
  static const Pass pass{"reshape_in_place", "reshape without copies", run};
  return pass;
}

}  // namespace gacer
