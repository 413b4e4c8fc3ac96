// Folds what scales and shifts the channels of a convolution's result into its weights and bias:
// BatchNormalization at inference, Mul and Add (Sub, Div) with a constant per channel or a scalar.
// With scale s and shift t per output channel:  w' = s*w,  b' = s*b + t.

#include "passes/rewrite.h"

namespace gacer {
namespace {

/// A constant as one number per channel of a value of shape [N, C, …]; empty when it is not that.
std::vector<float> per_channel(const Graph& graph, ValueId id, const Shape& shape) {
  if (!graph.is_constant(id)) return {};
  const Tensor& tensor = *graph.value(id).constant;
  if (tensor.dtype() != DType::kF32 || tensor.shape().rank() > shape.rank()) return {};
  const std::int64_t channels = shape[1];
  std::vector<float> values = floats_of(tensor);
  if (values.size() == 1) return std::vector<float>(static_cast<std::size_t>(channels), values[0]);
  const int axis = 1 - (shape.rank() - tensor.shape().rank());  // where the channels align
  if (axis < 0 || static_cast<std::int64_t>(values.size()) != channels ||
      tensor.shape()[axis] != channels)
    return {};
  return values;
}

std::optional<Affine> affine_of_arithmetic(const Graph& graph, const Node& node, ValueId data) {
  if (node.inputs.size() != 2) return std::nullopt;
  const bool is_first = node.inputs[0] == data;
  const ValueId other = node.inputs[is_first ? 1 : 0];
  const Shape& shape = graph.value(data).shape;
  if (graph.value(node.outputs[0]).shape != shape) return std::nullopt;
  const std::vector<float> values = per_channel(graph, other, shape);
  if (values.empty()) return std::nullopt;
  Affine affine{std::vector<float>(values.size(), 1), std::vector<float>(values.size(), 0)};
  for (std::size_t c = 0; c < values.size(); ++c) {
    if (node.op == "Add")
      affine.shift[c] = values[c];
    else if (node.op == "Mul")
      affine.scale[c] = values[c];
    else if (node.op == "Sub" && is_first)
      affine.shift[c] = -values[c];
    else if (node.op == "Div" && is_first)
      affine.scale[c] = 1 / values[c];
    else
      return std::nullopt;
  }
  return affine;
}

std::optional<Affine> affine_of(const Graph& graph, const Node& node, ValueId data) {
  if (!node.post.empty()) return std::nullopt;
  if (node.op == "BatchNormalization")
    return node.inputs[0] == data ? affine_of_batch_norm(graph, node) : std::nullopt;
  return affine_of_arithmetic(graph, node, data);
}

/// Scales the weights' output channels: axis 0 of a Conv's, axis 1 (inside each group) of a
/// ConvTranspose's.
Tensor scaled_weights(const Tensor& weights, const Node& conv, const std::vector<float>& scale) {
  std::vector<float> values = floats_of(weights);
  const Shape& shape = weights.shape();
  const bool is_transposed = conv.op == "ConvTranspose";
  const std::int64_t group = conv.attributes.get_int("group", 1);
  std::int64_t inner = 1;
  for (int axis = is_transposed ? 2 : 1; axis < shape.rank(); ++axis) inner *= shape[axis];
  const std::int64_t rows = static_cast<std::int64_t>(values.size()) / inner;
  for (std::int64_t row = 0; row < rows; ++row) {
    std::int64_t channel = row;
    if (is_transposed) {
      const std::int64_t per_group = shape[1];
      const std::int64_t in = row / per_group;
      channel = in / (shape[0] / group) * per_group + row % per_group;
    }
    for (std::int64_t i = 0; i < inner; ++i)
      values[static_cast<std::size_t>(row * inner + i)] *= scale[static_cast<std::size_t>(channel)];
  }
  return make_float_tensor(weights.dtype(), shape, values);
}

bool is_conv_with_constant_weights(const Graph& graph, const Node& node) {
  if ((node.op != "Conv" && node.op != "ConvTranspose") || !node.post.empty()) return false;
  if (!graph.is_constant(node.inputs[1])) return false;
  const bool has_bias = node.inputs.size() > 2 && node.inputs[2] != kNone;
  return graph.value(node.inputs[1]).dtype == DType::kF32 &&
         (!has_bias || graph.is_constant(node.inputs[2]));
}

void apply_affine(Graph& graph, NodeId id, const Affine& affine) {
  const std::vector<ValueId> inputs = graph.node(id).inputs;
  const std::string name = graph.value(graph.node(id).outputs[0]).name;
  const Tensor weights =
      scaled_weights(*graph.value(inputs[1]).constant, graph.node(id), affine.scale);
  std::vector<float> bias(affine.scale.size(), 0);
  if (inputs.size() > 2 && inputs[2] != kNone) bias = floats_of(*graph.value(inputs[2]).constant);
  for (std::size_t c = 0; c < bias.size(); ++c)
    bias[c] = bias[c] * affine.scale[c] + affine.shift[c];
  const Shape bias_shape{static_cast<std::int64_t>(bias.size())};
  const ValueId weights_id = graph.add_constant(name + ".weights", weights);
  const ValueId bias_id =
      graph.add_constant(name + ".bias", make_float_tensor(DType::kF32, bias_shape, bias));
  Node& conv = graph.node(id);
  conv.inputs = {inputs[0], weights_id, bias_id};
  conv.num_op_inputs = 3;
}

int run(Graph& graph, const PassOptions&) {
  int changes = 0;
  Rewriter rewriter(graph);
  for (NodeId id = 0; id < graph.num_nodes(); ++id) {
    if (graph.node(id).is_removed || !is_conv_with_constant_weights(graph, graph.node(id)))
      continue;
    // All that follows is joined first, so that the weights are rewritten once.
    std::optional<Affine> total;
    while (true) {
      const ValueId out = graph.node(id).outputs[0];
      const NodeId next = rewriter.sole_consumer(out);
      if (next == kNone) break;
      const std::optional<Affine> affine = affine_of(graph, graph.node(next), out);
      if (!affine) break;
      if (!total) {
        total = affine;
      } else {
        for (std::size_t c = 0; c < total->scale.size(); ++c) {
          total->scale[c] *= affine->scale[c];
          total->shift[c] = total->shift[c] * affine->scale[c] + affine->shift[c];
        }
      }
      const ValueId result = graph.node(next).outputs[0];
      graph.node(next).is_removed = true;
      graph.node(id).outputs[0] = result;
      graph.value(result).producer = id;
      rewriter.refresh();
      ++changes;
    }
    if (total) apply_affine(graph, id, *total);
  }
  return changes;
}

}  // namespace

const Pass& pass_fold_batch_norm() {
  static const Pass pass{"fold_batch_norm",
                         "fold batch norm and per-channel scale and shift into convolutions", run};
  return pass;
}

}  // namespace gacer
