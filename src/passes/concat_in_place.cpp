// Lets the operands of Concat be written where the result wants them: they become parts of one root
// and the copies go away. A Concat whose operands are a run of a larger one's (each layer of a
// dense block concatenates all layers before it) becomes a part of the larger one's result.

#include <algorithm>
#include <optional>

#include "ops/common.h"
#include "passes/rewrite.h"

namespace gacer {
namespace {

constexpr std::size_t kAlignment = 16;  // bytes

class ConcatPlacer {
 public:
  ConcatPlacer(Graph& graph, const PassOptions& options) : graph_(graph), options_(options) {}

  int run() {
    if (!options_.concats_in_place) return 0;
    int removed = 0;
    // The largest result of a chain comes last, and is the root of the others.
    for (NodeId id = graph_.num_nodes(); id-- > 0;) removed += place(id);
    return removed;
  }

 private:
  /// The operands, those of a Concat on the same axis in its place; none when one cannot be a part.
  std::optional<std::vector<ValueId>> leaves(NodeId id) const {
    const Node& node = graph_.node(id);
    const int axis = axis_of(node);
    std::vector<ValueId> result;
    const auto is_there = [&](ValueId value) {
      return std::find(result.begin(), result.end(), value) != result.end();
    };
    for (const ValueId input : node.inputs) {
      const NodeId producer = graph_.value(input).producer;
      if (producer != kNone && is_plain_concat(producer) &&
          axis_of(graph_.node(producer)) == axis) {
        const auto inner = leaves(producer);
        // A value has one place.
        if (!inner || std::any_of(inner->begin(), inner->end(), is_there)) return std::nullopt;
        result.insert(result.end(), inner->begin(), inner->end());
        continue;
      }
      const Value& value = graph_.value(input);
      const Value& whole = graph_.value(node.outputs[0]);
      if (producer == kNone || value.slice_of || graph_.is_output(input) ||
          value.layout != whole.layout || value.dtype != whole.dtype || is_there(input))
        return std::nullopt;
      result.push_back(input);
    }
    return result;
  }

  bool is_plain_concat(NodeId id) const {
    const Node& node = graph_.node(id);
    return !node.is_removed && node.op == "Concat" && node.post.empty() &&
           channel_block(graph_.value(node.outputs[0]).layout) == 1;
  }

  int axis_of(const Node& node) const {
    return normalize_axis(node.attributes.get_int("axis", 0),
                          graph_.value(node.outputs[0]).shape.rank());
  }

  /// Removes a Concat and those whose operands are a run of its operands. How many.
  int place(NodeId id) {
    if (!is_plain_concat(id)) return 0;
    const ValueId root = graph_.node(id).outputs[0];
    if (graph_.value(root).slice_of || graph_.is_output(root)) return 0;
    const auto parts = leaves(id);
    if (!parts) return 0;
    const int axis = axis_of(graph_.node(id));

    std::vector<std::pair<ValueId, std::int64_t>> placed;  // and where they begin
    std::vector<NodeId> removed = {id};
    std::vector<std::int64_t> begins;
    std::int64_t end = 0;
    for (const ValueId part : *parts) {
      if (!is_aligned(root, axis, end)) return 0;
      begins.push_back(end);
      placed.emplace_back(part, end);
      end += graph_.value(part).shape[axis];
    }
    for (NodeId other = 0; other < id; ++other) {
      if (!is_plain_concat(other) || axis_of(graph_.node(other)) != axis) continue;
      const ValueId result = graph_.node(other).outputs[0];
      const auto inner = leaves(other);
      if (!inner || inner->empty() || graph_.is_output(result) || graph_.value(result).slice_of)
        continue;
      const auto run = std::search(parts->begin(), parts->end(), inner->begin(), inner->end());
      if (run == parts->end()) continue;
      placed.emplace_back(result, begins[static_cast<std::size_t>(run - parts->begin())]);
      removed.push_back(other);
    }

    const std::vector<NodeId> touched = nodes_at(root, placed, removed);
    std::vector<bool> before;
    for (const NodeId node : touched) before.push_back(is_supported(node));
    for (const auto& [value, begin] : placed) graph_.value(value).slice_of = {root, axis, begin};
    for (std::size_t i = 0; i < touched.size(); ++i) {
      if (!before[i] || is_supported(touched[i])) continue;
      for (const auto& [value, begin] : placed) graph_.value(value).slice_of.reset();
      return 0;
    }
    for (const NodeId node : removed) {
      graph_.node(node).is_removed = true;
      graph_.value(graph_.node(node).outputs[0]).producer = kNone;
    }
    return static_cast<int>(removed.size());
  }

  /// Whether a part that begins there begins at an address that kernels take. They are asked with
  /// strides alone, and refuse what is not aligned when they are recorded.
  bool is_aligned(ValueId root, int axis, std::int64_t begin) const {
    const Value& value = graph_.value(root);
    std::int64_t elements = begin;  // before the part
    if (axis != 1 || value.layout != Layout::kChannelsLast)
      for (int inner = axis + 1; inner < value.shape.rank(); ++inner)
        elements *= value.shape[inner];
    return static_cast<std::size_t>(elements) * size_of(value.dtype) % kAlignment == 0;
  }

  bool is_supported(NodeId id) const {
    return !options_.is_supported || options_.is_supported(graph_, id);
  }

  /// All that write or read the root or a part of it, but for the nodes that go.
  std::vector<NodeId> nodes_at(ValueId root,
                               const std::vector<std::pair<ValueId, std::int64_t>>& placed,
                               const std::vector<NodeId>& removed) const {
    const auto is_placed = [&](ValueId id) {
      return id == root || std::any_of(placed.begin(), placed.end(),
                                       [&](const auto& part) { return part.first == id; });
    };
    std::vector<NodeId> nodes;
    for (NodeId id = 0; id < graph_.num_nodes(); ++id) {
      const Node& node = graph_.node(id);
      if (node.is_removed || std::find(removed.begin(), removed.end(), id) != removed.end())
        continue;
      if (std::any_of(node.inputs.begin(), node.inputs.end(), is_placed) ||
          std::any_of(node.outputs.begin(), node.outputs.end(), is_placed))
        nodes.push_back(id);
    }
    return nodes;
  }

  Graph& graph_;
  const PassOptions& options_;
};

int run(Graph& graph, const PassOptions& options) { return ConcatPlacer(graph, options).run(); }

}  // namespace

const Pass& pass_concat_in_place() {
  static const Pass pass{"concat_in_place",
                         "write the operands of Concat where its result wants them", run};
  return pass;
}

}  // namespace gacer
