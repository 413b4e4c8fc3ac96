#include <algorithm>
#include <cmath>

#include "base/dtype.h"
#include "ops/common.h"

// LayerNormalization and RMSNormalization: statistics over the axes from `axis` on.
namespace gacer {
namespace {

int first_axis(const Node& node, const Shape& x) {
  return normalize_axis(node.attributes.get_int("axis", -1), x.rank());
}

bool is_rms(const Node& node) { return node.op == "RMSNormalization"; }

std::vector<OutputType> infer(const InferContext& context) {
  require_float(context, 0);
  const Shape& x = context.shape(0);
  const int axis = first_axis(context.node(), x);
  for (int i = 1; i < 3; ++i)
    if ((i == 1 || context.has_input(i)) && broadcast_shapes(context.shape(i), x) != x)
      fail(ErrorKind::kModel, "input {} {} does not broadcast to {}", i,
           context.shape(i).to_string(), x.to_string());
  Shape statistics = x;
  for (int i = axis; i < x.rank(); ++i) statistics[i] = 1;
  std::vector<OutputType> outputs = infer_like_input(context);
  if (is_rms(context.node())) return outputs;
  outputs.push_back({DType::kF32, statistics});
  outputs.push_back({DType::kF32, statistics});
  return outputs;
}

void evaluate_f32(const EvalContext& context) {
  const TensorView& x = context.inputs[0];
  const int axis = first_axis(context.node, x.shape);
  const std::int64_t outer = product(x.shape, 0, axis);
  const std::int64_t length = product(x.shape, axis, x.shape.rank());
  const float epsilon = context.node.attributes.get_float("epsilon", 1e-5F);
  const bool rms = is_rms(context.node);
  const auto output = [&](std::size_t i) {
    return context.outputs.size() > i && context.outputs[i]
               ? context.outputs[i].flat<float>().data()
               : nullptr;
  };
  const float* in = x.flat<float>().data();
  float* out = output(0);
  float* means = output(1);
  float* inverse_deviations = output(2);
  context.team.parallel_for(outer, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const float* row = in + i * length;
      double sum = 0;
      if (!rms)
        for (std::int64_t j = 0; j < length; ++j) sum += static_cast<double>(row[j]);
      const double mean = sum / static_cast<double>(length);
      double squares = 0;
      for (std::int64_t j = 0; j < length; ++j) {
        const double centred = static_cast<double>(row[j]) - mean;
        squares += centred * centred;
      }
      const double inverse =
          1.0 / std::sqrt(squares / static_cast<double>(length) + static_cast<double>(epsilon));
      for (std::int64_t j = 0; j < length; ++j)
        out[i * length + j] = static_cast<float>((static_cast<double>(row[j]) - mean) * inverse);
      if (means != nullptr) means[i] = static_cast<float>(mean);
      if (inverse_deviations != nullptr) inverse_deviations[i] = static_cast<float>(inverse);
    }
    const auto affine = [&](std::size_t input, bool is_scale) {
      const float* values = context.inputs[input].flat<float>().data();
      for_each_broadcast(
          x.shape, std::array{broadcast_strides(context.inputs[input].shape, x.shape)},
          begin * length, end * length, [&](std::int64_t i, const std::array<std::int64_t, 1>& at) {
            out[i] = is_scale ? out[i] * values[at[0]] : out[i] + values[at[0]];
          });
    };
    affine(1, true);
    if (context.has_input(2)) affine(2, false);
  });
}

void evaluate(const EvalContext& context) { evaluate_in_f32(context, evaluate_f32); }

Cost cost(const Graph& graph, const Node& node) {
  return {8 * output_elements(graph, node), operand_bytes(graph, node)};
}

SplitResult split(const SplitContext& context) {
  const Shape& x = context.shape(0);
  std::vector<int> mixed;
  for (int axis = first_axis(context.node, x); axis < x.rank(); ++axis) mixed.push_back(axis);
  SplitResult result = split_keep_axis(context, mixed);
  if (!result) return result;
  for (int i = 1; i < context.node.num_op_inputs; ++i) {
    if (context.node.inputs[static_cast<std::size_t>(i)] == kNone) continue;
    const int axis = context.inputs[0]->axis - (x.rank() - context.shape(i).rank());
    if (axis >= 0 && context.shape(i)[axis] != 1)
      return refuse("input {} {} differs along the batch", i, context.shape(i).to_string());
  }
  return result;
}

}  // namespace

const OpDef& op_layer_normalization() {
  static const OpDef def{.name = "LayerNormalization",
                         .min_opset = 17,
                         .infer = infer,
                         .evaluate = evaluate,
                         .cost = cost,
                         .split = split};
  return def;
}

const OpDef& op_rms_normalization() {
  static const OpDef def{.name = "RMSNormalization",
                         .min_opset = 23,
                         .infer = infer,
                         .evaluate = evaluate,
                         .cost = cost,
                         .split = split};
  return def;
}

}  // namespace gacer
