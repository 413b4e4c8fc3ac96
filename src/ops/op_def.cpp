#include "ops/op_def.h"

#include "base/error.h"
#include "ops/common.h"

namespace gacer {

const Value& InferContext::input(int i) const {
  if (!has_input(i)) fail(ErrorKind::kModel, "required input {} is missing", i);
  return graph_.value(node_.inputs[static_cast<std::size_t>(i)]);
}

const Tensor* InferContext::constant(int i) const {
  if (!has_input(i)) return nullptr;
  const auto& tensor = input(i).constant;
  return tensor ? &*tensor : nullptr;
}

std::vector<std::int64_t> InferContext::constant_ints(int i) const {
  const Tensor* tensor = constant(i);
  if (tensor == nullptr) {
    if (!has_input(i)) fail(ErrorKind::kModel, "required input {} is missing", i);
    fail(ErrorKind::kUnsupported,
         "input {} ('{}') must be a constant: shapes are known before anything runs", i,
         input(i).name);
  }
  return ints_of(*tensor);
}

const OpDef* find_op(std::string_view name, std::string_view domain) {
  for (const OpDef* def : all_ops())
    if (def->name == name && def->domain == domain) return def;
  return nullptr;
}

const OpDef& op_of(const Node& node) {
  // A graph's nodes name operators without their domain: ours never share a name with ONNX's.
  const OpDef* def = find_op(node.op);
  if (def == nullptr) def = find_op(node.op, "gacer");
  if (def == nullptr)
    fail(ErrorKind::kUnsupported, "node '{}': operator '{}' is not known", node.name, node.op);
  return *def;
}

void infer_node(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  try {
    const OpDef& def = op_of(node);
    require(def.infer != nullptr, "{} has no shape inference", def.name);
    const std::vector<OutputType> types = def.infer(InferContext(graph, node));
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] == kNone) continue;
      if (i >= types.size())
        fail(ErrorKind::kUnsupported, "output {} ('{}') is not supported", i,
             graph.value(node.outputs[i]).name);
      Value& output = graph.value(node.outputs[i]);
      output.dtype = types[i].dtype;
      output.shape = types[i].shape;
    }
  } catch (Error& error) {
    error.add_context(fmt::format("node '{}' ({})", node.name, node.op));
    throw;
  }
}

Cost cost_of(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const OpDef& def = op_of(node);
  Cost cost;
  if (def.cost != nullptr)
    cost = def.cost(graph, node);
  else
    cost.bytes = operand_bytes(graph, node);
  if (!node.post.empty())
    cost.flop += static_cast<double>(node.post.size()) * output_elements(graph, node);
  return cost;
}

}  // namespace gacer
