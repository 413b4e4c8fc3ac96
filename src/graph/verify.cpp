#include <algorithm>
#include <optional>
#include <vector>

#include "base/error.h"
#include "graph/graph.h"

namespace gacer {
namespace {

bool is_broadcastable(const Shape& from, const Shape& to) {
  if (from.rank() > to.rank()) return false;
  const int shift = to.rank() - from.rank();
  for (int axis = 0; axis < from.rank(); ++axis)
    if (from[axis] != 1 && from[axis] != to[axis + shift]) return false;
  return true;
}

class Verifier {
 public:
  explicit Verifier(const Graph& graph)
      : graph_(graph), defined_(static_cast<std::size_t>(graph.num_values()), false) {}

  void run() {
    require(graph_.batch >= 1, "graph '{}' has batch {}", graph_.name, graph_.batch);
    for (const ValueId id : graph_.inputs) {
      check_id(id, "the graph's inputs");
      const Value& input = graph_.value(id);
      require(!input.constant && input.producer == kNone,
              "graph input '{}' is a constant or has a producer", input.name);
      define(id, "as a graph input");
    }
    for (ValueId id = 0; id < graph_.num_values(); ++id) check_value(id);
    for (NodeId id = 0; id < graph_.num_nodes(); ++id)
      if (!graph_.node(id).is_removed) check_node(id);
    for (const ValueId id : graph_.outputs) {
      check_id(id, "the graph's outputs");
      require(is_readable(id), "graph output '{}' is never produced", graph_.value(id).name);
    }
  }

 private:
  void check_id(ValueId id, const char* where) const {
    require(id >= 0 && id < graph_.num_values(), "{}: value {} of {} does not exist", where, id,
            graph_.num_values());
  }

  bool is_defined(ValueId id) const { return defined_[static_cast<std::size_t>(id)]; }

  void define(ValueId id, const char* how) {
    require(!is_defined(id), "value '{}' is defined twice, again {}", graph_.value(id).name, how);
    defined_[static_cast<std::size_t>(id)] = true;
  }

  void check_value(ValueId id) {
    const Value& value = graph_.value(id);
    require(std::all_of(value.shape.begin(), value.shape.end(), [](auto dim) { return dim >= 0; }),
            "value '{}' has shape {}", value.name, value.shape.to_string());
    if (value.constant) {
      require(value.producer == kNone, "constant '{}' has a producer", value.name);
      require(value.constant->dtype() == value.dtype && value.constant->shape() == value.shape,
              "constant '{}' is {}{} but its tensor is {}{}", value.name, to_string(value.dtype),
              value.shape.to_string(), to_string(value.constant->dtype()),
              value.constant->shape().to_string());
      define(id, "as a constant");
    }
    if (value.producer != kNone) {
      require(value.producer >= 0 && value.producer < graph_.num_nodes(),
              "value '{}' has the unknown producer {}", value.name, value.producer);
      const Node& node = graph_.node(value.producer);
      require(std::count(node.outputs.begin(), node.outputs.end(), id) == 1,
              "value '{}' names node '{}' as its producer, which does not make it", value.name,
              node.name);
    }
    if (value.batch) check_batch(value);
    if (value.slice_of) check_slice(value);
    if (value.view_of != kNone) check_view(value);
  }

  void check_batch(const Value& value) const {
    const BatchAxis& batch = *value.batch;
    require(batch.axis >= 0 && batch.axis < value.shape.rank(), "value '{}' {} has batch axis {}",
            value.name, value.shape.to_string(), batch.axis);
    require(batch.factor >= 1 && value.shape[batch.axis] == graph_.batch * batch.factor,
            "value '{}' {} has batch axis {} with factor {} at batch {}", value.name,
            value.shape.to_string(), batch.axis, batch.factor, graph_.batch);
  }

  void check_slice(const Value& value) const {
    const SliceOf& slice = *value.slice_of;
    check_id(slice.root, "a slice's root");
    const Value& root = graph_.value(slice.root);
    require(!root.slice_of, "value '{}' is a part of '{}', which is itself a part", value.name,
            root.name);
    require(value.dtype == root.dtype && value.layout == root.layout &&
                value.shape.rank() == root.shape.rank() && slice.axis >= 0 &&
                slice.axis < value.shape.rank(),
            "value '{}' cannot be a part of '{}' on axis {}", value.name, root.name, slice.axis);
    for (int axis = 0; axis < value.shape.rank(); ++axis) {
      const bool fits =
          axis == slice.axis
              ? slice.offset >= 0 && slice.offset + value.shape[axis] <= root.shape[axis]
              : value.shape[axis] == root.shape[axis];
      require(fits, "value '{}' {} at offset {} on axis {} is outside of '{}' {}", value.name,
              value.shape.to_string(), slice.offset, slice.axis, root.name, root.shape.to_string());
    }
  }

  void check_view(const Value& value) const {
    check_id(value.view_of, "a view's root");
    const Value& root = graph_.value(value.view_of);
    require(!value.slice_of && !value.constant && value.producer == kNone,
            "value '{}' is a view and more than that", value.name);
    require(!root.slice_of && root.view_of == kNone,
            "value '{}' is a view of '{}', which has no bytes of its own", value.name, root.name);
    require(value.dtype == root.dtype && value.shape.num_elements() == root.shape.num_elements() &&
                lies_in_order(value) && lies_in_order(root),
            "value '{}' {} cannot be a view of '{}' {}", value.name, value.shape.to_string(),
            root.name, root.shape.to_string());
  }

  void check_node(NodeId id) {
    const Node& node = graph_.node(id);
    try {
      require(!node.op.empty(), "the operator has no name");
      for (const ValueId input : node.inputs) {
        if (input == kNone) continue;
        check_id(input, "inputs");
        require(is_readable(input), "input '{}' is read before it is produced",
                graph_.value(input).name);
      }
      check_post_ops(node);
      require(std::any_of(node.outputs.begin(), node.outputs.end(),
                          [](ValueId output) { return output != kNone; }),
              "no outputs");
      for (const ValueId output : node.outputs) {
        if (output == kNone) continue;
        check_id(output, "outputs");
        require(graph_.value(output).producer == id, "output '{}' has producer {}, not {}",
                graph_.value(output).name, graph_.value(output).producer, id);
        define(output, "as a node's output");
      }
    } catch (Error& error) {
      error.add_context(fmt::format("node {} '{}' ({})", id, node.name, node.op));
      throw;
    }
  }

  /// A root without a producer is made by its parts (concat without copies), and a part without one
  /// by its root (split without copies) or by the parts that it overlaps (a concat inside another).
  /// A view is made with its root.
  bool is_readable(ValueId id) const {
    if (is_defined(id)) return true;
    const Value& value = graph_.value(id);
    if (value.producer != kNone) return false;
    const ValueId root = graph_.root_of(id);
    if (is_defined(root)) return true;
    if (graph_.value(root).producer != kNone) return false;
    // The parts that nodes make lie side by side: what they share with the value adds up to it.
    std::int64_t made = 0;
    std::optional<int> axis;
    for (ValueId part = 0; part < graph_.num_values(); ++part) {
      const Value& other = graph_.value(part);
      if (!other.slice_of || other.slice_of->root != root || other.producer == kNone) continue;
      if (!overlap(value, other)) continue;
      if (!is_defined(part) || axis.value_or(other.slice_of->axis) != other.slice_of->axis)
        return false;
      axis = other.slice_of->axis;
      made += shared_extent(value, other);
    }
    return axis && made >= value.shape[*axis];
  }

  /// How much of a value's extent along a part's axis is the part's.
  static std::int64_t shared_extent(const Value& value, const Value& part) {
    const int axis = part.slice_of->axis;
    const bool is_same_axis = value.slice_of && value.slice_of->axis == axis;
    const std::int64_t begin = is_same_axis ? value.slice_of->offset : 0;
    const std::int64_t end = begin + value.shape[axis];
    return std::min(end, part.slice_of->offset + part.shape[axis]) -
           std::max(begin, part.slice_of->offset);
  }

  /// Whether a part shares elements with another part of its root, or with the root itself.
  static bool overlap(const Value& value, const Value& part) {
    if (!value.slice_of || value.slice_of->axis != part.slice_of->axis) return true;
    const int axis = part.slice_of->axis;
    return value.slice_of->offset < part.slice_of->offset + part.shape[axis] &&
           part.slice_of->offset < value.slice_of->offset + value.shape[axis];
  }

  void check_post_ops(const Node& node) const {
    const int count = static_cast<int>(node.inputs.size());
    require(node.num_op_inputs >= 0 && node.num_op_inputs <= count,
            "{} of {} inputs are the operator's own", node.num_op_inputs, count);
    std::vector<bool> taken(node.inputs.size(), false);
    for (const PostOp& post : node.post) {
      if (post.kind == PostOp::Kind::kActivation) {
        require(post.input == kNone, "an activation has the operand {}", post.input);
        continue;
      }
      require(post.input >= node.num_op_inputs && post.input < count,
              "a post-op has the operand {}, the post-ops' are [{}, {})", post.input,
              node.num_op_inputs, count);
      const ValueId operand = node.inputs[static_cast<std::size_t>(post.input)];
      require(operand != kNone, "a post-op's operand is missing");
      taken[static_cast<std::size_t>(post.input)] = true;
      require(!node.outputs.empty() && node.outputs[0] != kNone, "post-ops without an output");
      const Shape& to = graph_.value(node.outputs[0]).shape;
      require(is_broadcastable(graph_.value(operand).shape, to),
              "post-op operand '{}' {} does not broadcast to {}", graph_.value(operand).name,
              graph_.value(operand).shape.to_string(), to.to_string());
    }
    for (int i = node.num_op_inputs; i < count; ++i)
      require(taken[static_cast<std::size_t>(i)], "input {} belongs to no post-op", i);
  }

  const Graph& graph_;
  std::vector<bool> defined_;
};

}  // namespace

void verify_graph(const Graph& graph) {
  try {
    Verifier(graph).run();
  } catch (Error& error) {
    error.add_context(fmt::format("graph '{}'", graph.name));
    throw;
  }
}

}  // namespace gacer
