#include <algorithm>
#include <array>
#include <vector>

#include "base/dtype.h"
#include "base/error.h"
#include "base/hasher.h"
#include "graph/graph.h"

namespace gacer {
namespace {

void add_tensor(Hasher& hasher, const Tensor& tensor) {
  hasher.add(static_cast<int>(tensor.dtype()));
  for (const std::int64_t dim : tensor.shape()) hasher.add(dim);
  hasher.add_bytes(tensor.bytes(), tensor.size_bytes());
}

void add_attribute(Hasher& hasher, const Attribute& attribute) {
  hasher.add(static_cast<std::uint64_t>(attribute.index()));
  std::visit(
      [&](const auto& value) {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, Tensor>) {
          add_tensor(hasher, value);
        } else if constexpr (std::is_same_v<T, std::int64_t> || std::is_same_v<T, float>) {
          hasher.add(value);
        } else if constexpr (std::is_same_v<T, std::string>) {
          hasher.add(std::string_view(value));
        } else {
          hasher.add(static_cast<std::uint64_t>(value.size()));
          for (const auto& element : value) {
            if constexpr (std::is_same_v<T, std::vector<std::string>>)
              hasher.add(std::string_view(element));
            else
              hasher.add(element);
          }
        }
      },
      attribute);
}

void add_operation(Hasher& hasher, const Node& node) {
  hasher.add(std::string_view(node.op));
  hasher.add(static_cast<std::uint64_t>(node.attributes.entries().size()));
  for (const auto& [name, attribute] : node.attributes.entries()) {
    hasher.add(std::string_view(name));
    add_attribute(hasher, attribute);
  }
  hasher.add(node.num_op_inputs);
  hasher.add(static_cast<std::uint64_t>(node.post.size()));
  for (const PostOp& post : node.post) {
    hasher.add(static_cast<int>(post.kind));
    hasher.add(static_cast<int>(post.activation));
    hasher.add(post.alpha);
    hasher.add(post.beta);
    hasher.add(post.input);
  }
}

bool is_one_of(std::string_view op, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), op) != list.end();
}

/// Integers of at most this many elements are parameters (axes, pads, slice bounds), not data.
constexpr std::int64_t kMaxParameterElements = 64;

/// Whether a constant operand's value is part of what the node does, rather than a weight:
/// small integers are, unless the operator states the whole batch's shape with them (the output's
/// shape says the same per item); floats are where they set geometry or the arithmetic's cost.
bool counts_by_value(const Node& node, int input, const Value& value) {
  if (!value.constant || input >= node.num_op_inputs ||
      value.constant->num_elements() > kMaxParameterElements)
    return false;
  const bool is_resize = is_one_of(node.op, {"Resize", "Upsample"});
  if (is_float(value.dtype)) return is_resize || node.op == "Pow";
  return !is_resize && !is_one_of(node.op, {"Reshape", "Expand", "ConstantOfShape"});
}

void add_type(Hasher& hasher, const Value& value) {
  hasher.add(static_cast<int>(value.dtype));
  hasher.add(static_cast<int>(value.layout));
  hasher.add(value.constant.has_value());
  hasher.add(value.shape.rank());
}

/// Shape per batch item: the batch's axis shows its factor instead of its size.
void add_item_shape(Hasher& hasher, const Value& value) {
  for (int axis = 0; axis < value.shape.rank(); ++axis) {
    const bool is_batch = value.batch && value.batch->axis == axis;
    hasher.add(is_batch);
    hasher.add(is_batch ? value.batch->factor : value.shape[axis]);
  }
}

class GraphHasher {
 public:
  explicit GraphHasher(const Graph& graph)
      : graph_(graph), numbers_(static_cast<std::size_t>(graph.num_values()), kNone) {}

  std::string run() {
    hasher_.add(graph_.batch);
    add_values(graph_.inputs);
    for (const Node& node : graph_.nodes()) {
      if (node.is_removed) continue;
      add_operation(hasher_, node);
      add_values(node.inputs);
      add_values(node.outputs);
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        if (node.inputs[i] == kNone) continue;
        const Value& value = graph_.value(node.inputs[i]);
        if (counts_by_value(node, static_cast<int>(i), value) && !is_float(value.dtype))
          add_tensor(hasher_, *value.constant);
      }
    }
    add_values(graph_.outputs);
    return hasher_.hex();
  }

 private:
  void add_values(const std::vector<ValueId>& ids) {
    hasher_.add(static_cast<std::uint64_t>(ids.size()));
    for (const ValueId id : ids) add_value(id);
  }

  /// Values are numbered in the order in which they are met, so ids do not matter.
  void add_value(ValueId id) {
    if (id == kNone) {
      hasher_.add(kNone);
      return;
    }
    int& number = numbers_[static_cast<std::size_t>(id)];
    const bool is_new = number == kNone;
    if (is_new) number = next_number_++;
    hasher_.add(number);
    if (!is_new) return;
    const Value& value = graph_.value(id);
    add_type(hasher_, value);
    for (const std::int64_t dim : value.shape) hasher_.add(dim);
    hasher_.add(value.batch ? value.batch->axis : kNone);
    hasher_.add(value.batch ? value.batch->factor : 0);
    hasher_.add(value.slice_of.has_value());
    if (value.slice_of) {
      hasher_.add(value.slice_of->axis);
      hasher_.add(value.slice_of->offset);
      add_value(value.slice_of->root);
    }
    if (value.view_of != kNone) add_value(value.view_of);
  }

  const Graph& graph_;
  Hasher hasher_;
  std::vector<int> numbers_;
  int next_number_ = 0;
};

}  // namespace

std::string fingerprint(const Graph& graph) { return GraphHasher(graph).run(); }

std::string op_signature(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  Hasher hasher;
  add_operation(hasher, node);
  std::vector<ValueId> seen;
  const auto add_operand = [&](ValueId value_id) {
    hasher.add(value_id != kNone);
    if (value_id == kNone) return;
    // Operands that are one value count as such: x * x reads half the bytes of x * y.
    const auto first = std::find(seen.begin(), seen.end(), value_id);
    hasher.add(static_cast<std::int64_t>(first - seen.begin()));
    if (first == seen.end()) seen.push_back(value_id);
    const Value& value = graph.value(value_id);
    add_type(hasher, value);
    add_item_shape(hasher, value);
    hasher.add(value.slice_of.has_value());
    if (value.slice_of) {
      hasher.add(value.slice_of->axis);
      hasher.add(graph.value(value.slice_of->root).shape[value.slice_of->axis]);
    }
  };
  hasher.add(static_cast<std::uint64_t>(node.inputs.size()));
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    add_operand(node.inputs[i]);
    if (node.inputs[i] == kNone) continue;
    const Value& value = graph.value(node.inputs[i]);
    if (counts_by_value(node, static_cast<int>(i), value)) add_tensor(hasher, *value.constant);
  }
  hasher.add(static_cast<std::uint64_t>(node.outputs.size()));
  for (const ValueId output : node.outputs) add_operand(output);
  return hasher.hex();
}

}  // namespace gacer
