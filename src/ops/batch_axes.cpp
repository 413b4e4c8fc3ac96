#include "base/error.h"
#include "ops/common.h"
#include "ops/op_def.h"

namespace gacer {
namespace {

using Axes = std::vector<std::optional<BatchAxis>>;

Axes input_axes(const Graph& graph, const Node& node) {
  Axes axes;
  for (const ValueId id : node.inputs)
    axes.push_back(id == kNone ? std::nullopt : graph.value(id).batch);
  return axes;
}

/// Post-ops are elementwise on output 0: their operands must follow its axis.
Result<void> check_post_operands(const Graph& graph, const Node& node,
                                 const std::optional<BatchAxis>& batch) {
  const Shape& out = graph.value(node.outputs[0]).shape;
  for (const PostOp& post : node.post) {
    if (post.input == kNone) continue;
    const Value& operand = graph.value(node.inputs[static_cast<std::size_t>(post.input)]);
    const int shift = out.rank() - operand.shape.rank();
    if (operand.batch) {
      const BatchAxis aligned{operand.batch->axis + shift, operand.batch->factor};
      if (batch != aligned)
        return refuse("the post-op's operand '{}' carries the batch on another axis", operand.name);
    } else if (batch) {
      const int axis = batch->axis - shift;
      if (axis >= 0 && operand.shape[axis] != 1)
        return refuse("the post-op's operand '{}' {} does not carry the batch", operand.name,
                      operand.shape.to_string());
    }
  }
  return {};
}

/// What the operator's rule says, checked; the axes are all empty when no input carries the batch.
SplitResult split_node(const Graph& graph, const Node& node) {
  const Axes axes = input_axes(graph, node);
  bool has_batch = false;
  for (std::size_t i = 0; i < axes.size(); ++i) has_batch = has_batch || axes[i].has_value();
  Axes outputs(node.outputs.size());
  if (!has_batch) return outputs;

  const OpDef& def = op_of(node);
  if (def.split == nullptr) return refuse("{} is never split", node.op);
  bool op_has_batch = false;
  for (int i = 0; i < node.num_op_inputs; ++i)
    op_has_batch = op_has_batch || axes[static_cast<std::size_t>(i)].has_value();
  if (op_has_batch) {
    SplitResult result = def.split(SplitContext{graph, node, axes});
    if (!result) return result;
    outputs = std::move(result).value();
  }
  require(outputs.size() == node.outputs.size(), "{}: the split rule gave {} outputs of {}",
          node.op, outputs.size(), node.outputs.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (!outputs[i] || node.outputs[i] == kNone) continue;
    const Shape& shape = graph.value(node.outputs[i]).shape;
    const BatchAxis& axis = *outputs[i];
    require(
        axis.axis >= 0 && axis.axis < shape.rank() && shape[axis.axis] == graph.batch * axis.factor,
        "{} '{}': output {} {} cannot carry the batch of {} on axis {} with factor {}", node.op,
        node.name, i, shape.to_string(), graph.batch, axis.axis, axis.factor);
  }
  if (auto post = check_post_operands(graph, node, outputs[0]); !post)
    return Refusal{post.reason()};
  return outputs;
}

}  // namespace

void infer_batch_axes(Graph& graph) {
  for (ValueId id = 0; id < graph.num_values(); ++id)
    if (graph.value(id).producer != kNone) graph.value(id).batch.reset();
  for (NodeId id = 0; id < graph.num_nodes(); ++id) {
    const Node& node = graph.node(id);
    if (node.is_removed) continue;
    const SplitResult axes = split_node(graph, node);
    if (!axes) continue;
    for (std::size_t i = 0; i < node.outputs.size(); ++i)
      if (node.outputs[i] != kNone) graph.value(node.outputs[i]).batch = (*axes)[i];
  }
}

Result<void> is_splittable(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const SplitResult axes = split_node(graph, node);
  if (!axes) return Refusal{axes.reason()};
  for (std::size_t i = 0; i < node.outputs.size(); ++i)
    if (node.outputs[i] != kNone && !(*axes)[i])
      return refuse("output {} ('{}') does not carry the batch", i,
                    graph.value(node.outputs[i]).name);
  return {};
}

}  // namespace gacer
