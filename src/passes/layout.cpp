// Gives image values the layout that the device's kernels prefer and puts a Reorder where it
// changes. Convolutions ask for it, and pools of whole channel blocks; operators that work in any
// layout follow their operands; all others, the model's inputs and its outputs stay row-major.

#include <algorithm>
#include <array>
#include <map>

#include "ops/op_def.h"
#include "passes/rewrite.h"

namespace gacer {
namespace {

constexpr std::array kLeaders = {"Conv", "ConvTranspose"};
constexpr std::array kPools = {"MaxPool", "AveragePool"};
constexpr std::array kFollowers = {"MaxPool",       "AveragePool",        "GlobalAveragePool",
                                   "GlobalMaxPool", "BatchNormalization", "Resize"};

template <std::size_t N>
bool is_one_of(const std::array<const char*, N>& names, const std::string& op) {
  return std::find(names.begin(), names.end(), op) != names.end();
}

class LayoutAssigner {
 public:
  LayoutAssigner(Graph& graph, const PassOptions& options) : graph_(graph), options_(options) {}

  int run() {
    const Layout wanted = options_.image_layout;
    if (wanted == Layout::kRowMajor) return 0;
    int nodes = 0;
    for (NodeId id = 0; id < graph_.num_nodes(); ++id) {
      const NodeId at = id + place(id, wanted, nodes);
      id = at;
    }
    restore_outputs();
    return nodes;
  }

 private:
  bool is_image(ValueId id) const {
    const Value& value = graph_.value(id);
    return value.shape.rank() >= 3 && value.shape.rank() <= 5 && !value.constant;
  }

  /// Inputs that would take the image layout: activations of the result's rank.
  std::vector<std::size_t> image_operands(const Node& node) const {
    std::vector<std::size_t> operands;
    const int rank = graph_.value(node.outputs[0]).shape.rank();
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      if (node.inputs[i] != kNone && is_image(node.inputs[i]) &&
          graph_.value(node.inputs[i]).shape.rank() == rank)
        operands.push_back(i);
    return operands;
  }

  bool has_whole_blocks(ValueId image, Layout wanted) const {
    const std::int64_t channels = graph_.value(image).shape[1];
    return channels >= 8 && channels % channel_block(wanted) == 0;
  }

  bool wants_layout(const Node& node, Layout wanted) const {
    if (node.outputs.size() != 1 || !is_image(node.outputs[0])) return false;
    const std::vector<std::size_t> operands = image_operands(node);
    if (operands.empty()) return false;
    if (is_one_of(kLeaders, node.op)) return true;
    if (is_one_of(kPools, node.op) && has_whole_blocks(node.inputs[0], wanted)) return true;
    const bool has_image = std::any_of(operands.begin(), operands.end(), [&](std::size_t i) {
      return graph_.value(node.inputs[i]).layout == wanted;
    });
    if (!has_image) return false;
    if (is_one_of(kFollowers, node.op)) return true;
    if (node.op == "Concat") return is_concat_of_blocks(node, wanted);
    return is_pointwise_image(node);
  }

  /// Channels can be concatenated in a blocked layout when no part is padded.
  bool is_concat_of_blocks(const Node& node, Layout wanted) const {
    const int rank = graph_.value(node.outputs[0]).shape.rank();
    const std::int64_t axis = node.attributes.get_int("axis", 0);
    if (axis != 1 && axis != 1 - rank) return true;
    return std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId input) {
      return graph_.value(input).shape[1] % channel_block(wanted) == 0;
    });
  }

  /// All operands have the result's rank (or are single numbers): broadcasting keeps the axes.
  bool is_pointwise_image(const Node& node) const {
    const OpDef* def = find_op(node.op);
    if (def == nullptr) def = find_op(node.op, "gacer");
    if (def == nullptr || !def->is_pointwise) return false;
    const int rank = graph_.value(node.outputs[0]).shape.rank();
    return std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId input) {
      return input == kNone || graph_.value(input).shape.num_elements() == 1 ||
             (graph_.value(input).shape.rank() == rank && !graph_.is_constant(input));
    });
  }

  /// Sets a node's layouts. Returns how many Reorder nodes went in before it.
  int place(NodeId id, Layout wanted, int& nodes) {
    int inserted = 0;
    if (wants_layout(graph_.node(id), wanted) && takes_layout(id, wanted)) {
      ++nodes;
      for (std::size_t i : image_operands(graph_.node(id + inserted)))
        if (!(i == 0 && data_stays_row_major_)) inserted += convert(id + inserted, i, wanted);
      graph_.value(graph_.node(id + inserted).outputs[0]).layout = wanted;
      return inserted;
    }
    for (std::size_t i = 0; i < graph_.node(id + inserted).inputs.size(); ++i)
      inserted += convert(id + inserted, i, Layout::kRowMajor);
    return inserted;
  }

  /// Tries the layout on the values themselves and asks; puts everything back.
  bool takes_layout(NodeId id, Layout wanted) {
    const Node& node = graph_.node(id);
    const std::vector<std::size_t> operands = image_operands(node);
    std::map<ValueId, Layout> before = {{node.outputs[0], graph_.value(node.outputs[0]).layout}};
    for (std::size_t i : operands) before[node.inputs[i]] = graph_.value(node.inputs[i]).layout;
    const auto is_ok = [&] { return !options_.is_supported || options_.is_supported(graph_, id); };
    graph_.value(node.outputs[0]).layout = wanted;
    bool ok = false;
    // A first convolution reads a few channels best as they are.
    const ValueId data = node.inputs[0];
    const bool is_thin = is_one_of(kLeaders, node.op) && graph_.value(data).shape[1] < 8 &&
                         before[data] == Layout::kRowMajor;
    for (const bool keep_data : {true, false}) {
      if (keep_data && !is_thin) continue;
      for (std::size_t i : operands)
        graph_.value(node.inputs[i]).layout = keep_data && i == 0 ? Layout::kRowMajor : wanted;
      ok = is_ok();
      data_stays_row_major_ = ok && keep_data;
      if (ok) break;
    }
    for (const auto& [value, layout] : before) graph_.value(value).layout = layout;
    return ok;
  }

  /// Makes operand `i` of a node have a layout; returns 1 when a Reorder was inserted before it.
  int convert(NodeId id, std::size_t i, Layout layout) {
    const ValueId from = graph_.node(id).inputs[i];
    if (from == kNone || graph_.is_constant(from) || graph_.value(from).layout == layout) return 0;
    if (const auto known = converted_.find({from, layout}); known != converted_.end()) {
      graph_.node(id).inputs[i] = known->second;
      return 0;
    }
    const ValueId to = add_reorder(id, from, layout);
    graph_.node(id + 1).inputs[i] = to;
    return 1;
  }

  ValueId add_reorder(NodeId before, ValueId from, Layout layout) {
    Value value = graph_.value(from);
    value.name += std::string(".") + to_string(layout);
    value.layout = layout;
    value.producer = kNone;
    const ValueId to = graph_.add_value(std::move(value));
    Node reorder;
    reorder.op = "Reorder";
    reorder.name = graph_.value(to).name;
    reorder.inputs = {from};
    reorder.outputs = {to};
    graph_.insert_node(before, std::move(reorder));
    converted_[{from, layout}] = to;
    return to;
  }

  /// Model outputs are row-major under their own names.
  void restore_outputs() {
    for (ValueId& output : graph_.outputs) {
      if (graph_.value(output).layout == Layout::kRowMajor) continue;
      const ValueId inner = output;
      const auto known = converted_.find({inner, Layout::kRowMajor});
      const ValueId outer = known != converted_.end()
                                ? known->second
                                : add_reorder(graph_.num_nodes(), inner, Layout::kRowMajor);
      std::swap(graph_.value(inner).name, graph_.value(outer).name);
      output = outer;
    }
  }

  Graph& graph_;
  const PassOptions& options_;
  std::map<std::pair<ValueId, Layout>, ValueId> converted_;
  bool data_stays_row_major_ = false;  ///< of the node that takes_layout() said yes to
};

int run(Graph& graph, const PassOptions& options) { return LayoutAssigner(graph, options).run(); }

}  // namespace

const Pass& pass_layout() {
  static const Pass pass{"layout", "keep images in the layout that the device's kernels prefer",
                         run};
  return pass;
}

}  // namespace gacer
