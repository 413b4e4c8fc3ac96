#include "graph/graph.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace gacer {
namespace {

constexpr std::array kActivations = {std::pair{Activation::kIdentity, "identity"},
                                     std::pair{Activation::kRelu, "relu"},
                                     std::pair{Activation::kLeakyRelu, "leaky_relu"},
                                     std::pair{Activation::kClip, "clip"},
                                     std::pair{Activation::kSigmoid, "sigmoid"},
                                     std::pair{Activation::kHardSigmoid, "hard_sigmoid"},
                                     std::pair{Activation::kHardSwish, "hard_swish"},
                                     std::pair{Activation::kSilu, "silu"},
                                     std::pair{Activation::kGelu, "gelu"},
                                     std::pair{Activation::kGeluTanh, "gelu_tanh"},
                                     std::pair{Activation::kTanh, "tanh"},
                                     std::pair{Activation::kElu, "elu"}};

}  // namespace

const char* to_string(Layout layout) {
  switch (layout) {
    case Layout::kRowMajor:
      return "row_major";
    case Layout::kChannelsLast:
      return "channels_last";
    case Layout::kBlocked8:
      return "blocked8";
    case Layout::kBlocked16:
      return "blocked16";
  }
  fail(ErrorKind::kInternal, "bad layout {}", static_cast<int>(layout));
}

int channel_block(Layout layout) {
  if (layout == Layout::kBlocked8) return 8;
  if (layout == Layout::kBlocked16) return 16;
  return 1;
}

bool lies_in_order(const Value& value) {
  if (value.layout == Layout::kRowMajor || value.shape.rank() < 2) return true;
  if (value.shape[1] % channel_block(value.layout) != 0) return false;
  if (value.layout == Layout::kChannelsLast && value.shape[1] == 1) return true;
  for (int axis = 2; axis < value.shape.rank(); ++axis)
    if (value.shape[axis] != 1) return false;
  return true;
}

std::size_t bytes_in_layout(DType dtype, const Shape& shape, Layout layout) {
  auto elements = static_cast<std::size_t>(shape.num_elements());
  const int block = channel_block(layout);
  if (block > 1) {
    require(shape.rank() >= 2, "a blocked layout needs a channel axis, the shape is {}",
            shape.to_string());
    const std::int64_t channels = shape[1];
    if (channels == 0) return 0;
    const std::int64_t padded = (channels + block - 1) / block * block;
    elements = elements / static_cast<std::size_t>(channels) * static_cast<std::size_t>(padded);
  }
  return elements * size_of(dtype);
}

const char* to_string(Activation activation) {
  for (const auto& [known, name] : kActivations)
    if (known == activation) return name;
  fail(ErrorKind::kInternal, "bad activation {}", static_cast<int>(activation));
}

std::optional<Activation> parse_activation(std::string_view text) {
  for (const auto& [activation, name] : kActivations)
    if (text == name) return activation;
  return std::nullopt;
}

float apply(Activation activation, float x, float alpha, float beta) {
  switch (activation) {
    case Activation::kIdentity:
      return x;
    case Activation::kRelu:
      return x < 0 ? 0.0F : x;  // keeps NaN
    case Activation::kLeakyRelu:
      return x < 0 ? alpha * x : x;
    case Activation::kClip:
      return x < alpha ? alpha : (x > beta ? beta : x);
    case Activation::kSigmoid:
      return 1.0F / (1.0F + std::exp(-x));
    case Activation::kHardSigmoid:
      return std::max(0.0F, std::min(1.0F, alpha * x + beta));
    case Activation::kHardSwish:
      return x * std::max(0.0F, std::min(1.0F, x / 6.0F + 0.5F));
    case Activation::kSilu:
      return x / (1.0F + std::exp(-x));
    case Activation::kGelu:
      return 0.5F * x * (1.0F + std::erf(x * 0.70710678118654752F));
    case Activation::kGeluTanh:
      return 0.5F * x * (1.0F + std::tanh(0.79788456080286536F * (x + 0.044715F * x * x * x)));
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kElu:
      return x < 0 ? alpha * std::expm1(x) : x;
  }
  fail(ErrorKind::kInternal, "bad activation {}", static_cast<int>(activation));
}

ValueId Graph::add_value(Value value) {
  values_.push_back(std::move(value));
  return num_values() - 1;
}

ValueId Graph::add_input(std::string input_name, DType dtype, Shape shape) {
  Value value;
  value.name = std::move(input_name);
  value.dtype = dtype;
  value.shape = std::move(shape);
  const ValueId id = add_value(std::move(value));
  inputs.push_back(id);
  return id;
}

ValueId Graph::add_constant(std::string constant_name, Tensor tensor) {
  Value value;
  value.name = std::move(constant_name);
  value.dtype = tensor.dtype();
  value.shape = tensor.shape();
  value.constant = std::move(tensor);
  return add_value(std::move(value));
}

NodeId Graph::add_node(Node node) { return insert_node(num_nodes(), std::move(node)); }

NodeId Graph::insert_node(NodeId before, Node node) {
  require(before >= 0 && before <= num_nodes(), "insert_node at {} of {} nodes", before,
          num_nodes());
  if (node.num_op_inputs == 0) {
    node.num_op_inputs = static_cast<int>(node.inputs.size());
    for (const PostOp& post : node.post)
      if (post.input != kNone) node.num_op_inputs = std::min(node.num_op_inputs, post.input);
  }
  for (const ValueId output : node.outputs)
    require(output == kNone || (output >= 0 && output < num_values()),
            "node '{}' has the unknown output {}", node.name, output);
  nodes_.insert(nodes_.begin() + before, std::move(node));
  for (NodeId id = before; id < num_nodes(); ++id) {
    if (this->node(id).is_removed) continue;
    for (const ValueId output : this->node(id).outputs)
      if (output != kNone) value(output).producer = id;
  }
  return before;
}

ValueId Graph::find_value(std::string_view value_name) const {
  for (ValueId id = 0; id < num_values(); ++id)
    if (value(id).name == value_name) return id;
  return kNone;
}

ValueId Graph::root_of(ValueId id) const {
  const Value& part = value(id);
  if (part.slice_of) return part.slice_of->root;
  return part.view_of != kNone ? part.view_of : id;
}

bool Graph::is_output(ValueId id) const {
  return std::find(outputs.begin(), outputs.end(), id) != outputs.end();
}

std::vector<std::vector<NodeId>> Graph::consumers() const {
  std::vector<std::vector<NodeId>> readers(values_.size());
  for (NodeId id = 0; id < num_nodes(); ++id) {
    if (node(id).is_removed) continue;
    for (const ValueId input : node(id).inputs) {
      if (input == kNone) continue;
      auto& list = readers[static_cast<std::size_t>(input)];
      if (list.empty() || list.back() != id) list.push_back(id);
    }
  }
  return readers;
}

std::vector<NodeId> Graph::predecessors(NodeId id) const {
  std::vector<NodeId> result;
  for (const ValueId input : node(id).inputs)
    if (input != kNone && value(input).producer != kNone) result.push_back(value(input).producer);
  std::sort(result.begin(), result.end());
  result.erase(std::unique(result.begin(), result.end()), result.end());
  return result;
}

void Graph::replace_uses(ValueId from, ValueId to) {
  for (Node& reader : nodes_)
    if (!reader.is_removed) std::replace(reader.inputs.begin(), reader.inputs.end(), from, to);
  std::replace(outputs.begin(), outputs.end(), from, to);
}

void Graph::compact() {
  std::vector<Node> kept;
  for (Node& node : nodes_)
    if (!node.is_removed) kept.push_back(std::move(node));
  nodes_ = std::move(kept);

  std::vector<bool> used(values_.size(), false);
  const auto use = [&](ValueId id) {
    if (id == kNone) return;
    used[static_cast<std::size_t>(id)] = true;
    used[static_cast<std::size_t>(root_of(id))] = true;
  };
  std::for_each(inputs.begin(), inputs.end(), use);
  std::for_each(outputs.begin(), outputs.end(), use);
  for (const Node& node : nodes_) {
    std::for_each(node.inputs.begin(), node.inputs.end(), use);
    std::for_each(node.outputs.begin(), node.outputs.end(), use);
  }

  std::vector<ValueId> renumbered(values_.size(), kNone);
  std::vector<Value> kept_values;
  for (std::size_t i = 0; i < values_.size(); ++i) {
    if (!used[i]) continue;
    renumbered[i] = static_cast<ValueId>(kept_values.size());
    kept_values.push_back(std::move(values_[i]));
    kept_values.back().producer = kNone;
  }
  values_ = std::move(kept_values);
  const auto renumber = [&](ValueId& id) {
    if (id != kNone) id = renumbered[static_cast<std::size_t>(id)];
  };
  std::for_each(inputs.begin(), inputs.end(), renumber);
  std::for_each(outputs.begin(), outputs.end(), renumber);
  for (Value& value : values_) {
    if (value.slice_of) renumber(value.slice_of->root);
    renumber(value.view_of);
  }
  for (NodeId id = 0; id < num_nodes(); ++id) {
    std::for_each(node(id).inputs.begin(), node(id).inputs.end(), renumber);
    std::for_each(node(id).outputs.begin(), node(id).outputs.end(), renumber);
    for (const ValueId output : node(id).outputs)
      if (output != kNone) value(output).producer = id;
  }
}

void Graph::remove_dead() {
  std::vector<bool> live(values_.size(), false);
  const auto mark = [&](ValueId id) {
    if (id == kNone) return;
    live[static_cast<std::size_t>(id)] = true;
    // A root is written through its parts and the other way round.
    live[static_cast<std::size_t>(root_of(id))] = true;
  };
  std::for_each(outputs.begin(), outputs.end(), mark);
  for (NodeId id = num_nodes(); id-- > 0;) {
    Node& node = this->node(id);
    if (node.is_removed) continue;
    const bool is_live = std::any_of(node.outputs.begin(), node.outputs.end(), [&](ValueId output) {
      return output != kNone && (live[static_cast<std::size_t>(output)] ||
                                 live[static_cast<std::size_t>(root_of(output))]);
    });
    if (is_live)
      std::for_each(node.inputs.begin(), node.inputs.end(), mark);
    else
      node.is_removed = true;
  }
  compact();
}

}  // namespace gacer
