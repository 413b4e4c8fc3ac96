#include <algorithm>
#include <cmath>

#include "ops/common.h"

namespace gacer {
namespace {

std::vector<OutputType> infer(const InferContext& context) {
  require_float(context, 0);
  normalize_axis(context.node().attributes.get_int("axis", -1), context.shape(0).rank());
  return infer_like_input(context);
}

void evaluate_f32(const EvalContext& context) {
  const TensorView& x = context.inputs[0];
  const int axis = normalize_axis(context.node.attributes.get_int("axis", -1), x.shape.rank());
  const std::int64_t length = x.shape[axis];
  const std::int64_t inner = product(x.shape, axis + 1, x.shape.rank());
  const std::int64_t outer = product(x.shape, 0, axis);
  const float* in = x.flat<float>().data();
  float* out = context.outputs[0].flat<float>().data();
  const bool is_log = context.node.op == "LogSoftmax";
  context.team.parallel_for(outer * inner, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t base = i / inner * length * inner + i % inner;
      float largest = -INFINITY;
      for (std::int64_t k = 0; k < length; ++k) largest = std::max(largest, in[base + k * inner]);
      float sum = 0;
      for (std::int64_t k = 0; k < length; ++k) {
        const float e = std::exp(in[base + k * inner] - largest);
        out[base + k * inner] = e;
        sum += e;
      }
      const float log_sum = is_log ? std::log(sum) : 0;
      for (std::int64_t k = 0; k < length; ++k) {
        float& y = out[base + k * inner];
        y = is_log ? in[base + k * inner] - largest - log_sum : y / sum;
      }
    }
  });
}

void evaluate(const EvalContext& context) { evaluate_in_f32(context, evaluate_f32); }

Cost cost(const Graph& graph, const Node& node) {
  return {5 * output_elements(graph, node), operand_bytes(graph, node)};
}

SplitResult split(const SplitContext& context) {
  const int axis =
      normalize_axis(context.node.attributes.get_int("axis", -1), context.shape(0).rank());
  return split_keep_axis(context, std::array{axis});
}

/// Before opset 13 all axes from `axis` (default 1) on were one flattened axis.
void import_node(ImportContext& context) {
  if (context.opset >= 13) return;
  Graph& graph = context.graph;
  Node& node = context.node;
  const Shape shape = graph.value(node.inputs[0]).shape;
  const int rank = shape.rank();
  const int axis = normalize_axis(node.attributes.get_int("axis", 1), rank);
  int long_axis = rank - 1;
  int num_long = 0;
  for (int i = axis; i < rank; ++i) {
    if (shape[i] == 1) continue;
    long_axis = i;
    ++num_long;
  }
  node.attributes.set("axis", std::int64_t{long_axis});
  if (num_long <= 1) return;

  // Flatten, softmax over the flat axis, and this node gives the result its shape again.
  const Shape flat{product(shape, 0, axis), product(shape, axis, rank)};
  const ValueId reshaped = add_reshape(context, node.inputs[0], flat);
  Value softened;
  softened.name = node.name + ":flat";
  const ValueId result = graph.add_value(std::move(softened));
  Node softmax;
  softmax.op = node.op;
  softmax.name = node.name + ":softmax";
  softmax.inputs = {reshaped};
  softmax.outputs = {result};
  softmax.attributes.set("axis", std::int64_t{1});
  infer_node(graph, graph.add_node(std::move(softmax)));
  make_reshape(context, result, shape);
}

}  // namespace

const OpDef& op_softmax() {
  static const OpDef def{.name = "Softmax",
                         .infer = infer,
                         .evaluate = evaluate,
                         .cost = cost,
                         .split = split,
                         .import = import_node};
  return def;
}

const OpDef& op_log_softmax() {
  static const OpDef def{.name = "LogSoftmax",
                         .infer = infer,
                         .evaluate = evaluate,
                         .cost = cost,
                         .split = split,
                         .import = import_node};
  return def;
}

}  // namespace gacer
