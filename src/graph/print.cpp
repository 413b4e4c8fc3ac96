#include <fmt/format.h>

#include "base/dtype.h"
#include "base/error.h"
#include "graph/graph.h"

namespace gacer {
namespace {

std::string type_text(const Value& value) {
  std::string text = fmt::format("{}{}", to_string(value.dtype), value.shape.to_string());
  if (value.layout != Layout::kRowMajor) text += fmt::format(":{}", to_string(value.layout));
  return text;
}

std::string value_text(const Graph& graph, ValueId id) {
  if (id == kNone) return "-";
  const Value& value = graph.value(id);
  if (value.view_of != kNone)
    return fmt::format("{} as {}", value_text(graph, value.view_of), value.shape.to_string());
  return value.name.empty() ? fmt::format("%{}", id) : fmt::format("%{}", value.name);
}

struct AttributeText {
  std::string operator()(std::int64_t value) const { return fmt::format("{}", value); }
  std::string operator()(float value) const { return fmt::format("{}", value); }
  std::string operator()(const std::string& value) const { return fmt::format("'{}'", value); }
  std::string operator()(const std::vector<std::int64_t>& values) const {
    return fmt::format("[{}]", fmt::join(values, ","));
  }
  std::string operator()(const std::vector<float>& values) const {
    return fmt::format("[{}]", fmt::join(values, ","));
  }
  std::string operator()(const std::vector<std::string>& values) const {
    return fmt::format("['{}']", fmt::join(values, "','"));
  }
  std::string operator()(const Tensor& tensor) const {
    return fmt::format("{}{}", to_string(tensor.dtype()), tensor.shape().to_string());
  }
};

std::string post_text(const Graph& graph, const Node& node, const PostOp& post) {
  switch (post.kind) {
    case PostOp::Kind::kActivation:
      if (post.activation == Activation::kClip)
        return fmt::format(" +clip({},{})", post.alpha, post.beta);
      if (post.activation == Activation::kHardSigmoid)
        return fmt::format(" +hard_sigmoid({},{})", post.alpha, post.beta);
      if (post.activation == Activation::kLeakyRelu || post.activation == Activation::kElu)
        return fmt::format(" +{}({})", to_string(post.activation), post.alpha);
      return fmt::format(" +{}", to_string(post.activation));
    case PostOp::Kind::kAdd:
    case PostOp::Kind::kMul:
      return fmt::format(" +{}({})", post.kind == PostOp::Kind::kAdd ? "add" : "mul",
                         value_text(graph, node.inputs[static_cast<std::size_t>(post.input)]));
  }
  fail(ErrorKind::kInternal, "bad post-op kind {}", static_cast<int>(post.kind));
}

std::string output_text(const Graph& graph, ValueId id) {
  if (id == kNone) return "-";
  const Value& value = graph.value(id);
  std::string text = fmt::format("{} {}", value_text(graph, id), type_text(value));
  if (value.slice_of)
    text += fmt::format(" in {}[axis {} at {}]", value_text(graph, value.slice_of->root),
                        value.slice_of->axis, value.slice_of->offset);
  return text;
}

std::string node_text(const Graph& graph, const Node& node) {
  std::vector<std::string> outputs;
  for (const ValueId id : node.outputs) outputs.push_back(output_text(graph, id));
  std::vector<std::string> inputs;
  for (int i = 0; i < node.num_op_inputs; ++i)
    inputs.push_back(value_text(graph, node.inputs[static_cast<std::size_t>(i)]));
  std::string text =
      fmt::format("{} = {}({})", fmt::join(outputs, ", "), node.op, fmt::join(inputs, ", "));
  for (const auto& [name, attribute] : node.attributes.entries())
    text += fmt::format(" {}={}", name, std::visit(AttributeText{}, attribute));
  for (const PostOp& post : node.post) text += post_text(graph, node, post);
  return text;
}

/// "f32>f16": the float types of the data and of the result where they are two; of a cast nothing,
/// which is known by its operator.
std::string conversion_text(const Graph& graph, const Node& node) {
  if (node.op.starts_with("Cast") || node.inputs.empty() || node.inputs[0] == kNone ||
      node.outputs.empty() || node.outputs[0] == kNone)
    return "";
  const DType from = graph.value(node.inputs[0]).dtype;
  const DType to = graph.value(node.outputs[0]).dtype;
  if (from == to || !is_float(from) || !is_float(to)) return "";
  return fmt::format(":{}>{}", to_string(from), to_string(to));
}

}  // namespace

std::string print_graph(const Graph& graph) {
  std::string text = fmt::format("graph '{}' batch {}\n", graph.name, graph.batch);
  for (const ValueId id : graph.inputs) text += fmt::format("input {}\n", output_text(graph, id));
  for (const Value& value : graph.values())
    if (value.constant) text += fmt::format("constant %{} {}\n", value.name, type_text(value));
  for (const Node& node : graph.nodes())
    if (!node.is_removed) text += node_text(graph, node) + "\n";
  for (const ValueId id : graph.outputs) text += fmt::format("output {}\n", value_text(graph, id));
  return text;
}

std::string form_of(const Graph& graph, const Node& node) {
  std::string form = node.op + conversion_text(graph, node);
  if (!node.outputs.empty() && node.outputs[0] != kNone) {
    const Value& output = graph.value(node.outputs[0]);
    form += fmt::format("@{}{}", to_string(output.layout), output.shape.to_string());
  }
  for (const PostOp& post : node.post) {
    form += post.kind == PostOp::Kind::kAdd   ? "+add"
            : post.kind == PostOp::Kind::kMul ? "+mul"
                                              : fmt::format("+{}", to_string(post.activation));
  }
  return form;
}

}  // namespace gacer
