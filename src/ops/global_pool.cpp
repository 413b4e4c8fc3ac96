#include <algorithm>
#include <cmath>

#include "ops/common.h"

// Pooling over all spatial axes of [N, C, …]: the output is [N, C, 1, …].
namespace gacer {
namespace {

std::vector<OutputType> infer(const InferContext& context) {
  require_float(context, 0);
  require_rank_at_least(context, 0, 2);
  Shape shape = context.shape(0);
  for (int axis = 2; axis < shape.rank(); ++axis) shape[axis] = 1;
  return {{context.dtype(0), shape}};
}

/// `reduce(values, count)` of each channel.
template <typename Reduce>
void reduce_planes(const EvalContext& context, const Reduce& reduce) {
  const Shape& shape = context.inputs[0].shape;
  const std::int64_t count = product(shape, 2, shape.rank());
  const float* in = context.inputs[0].flat<float>().data();
  float* out = context.outputs[0].flat<float>().data();
  context.team.parallel_for(shape[0] * shape[1], 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) out[i] = reduce(in + i * count, count);
  });
}

void evaluate_average(const EvalContext& whole) {
  evaluate_in_f32(whole, [](const EvalContext& context) {
    reduce_planes(context, [](const float* values, std::int64_t count) {
      double sum = 0;
      for (std::int64_t i = 0; i < count; ++i) sum += static_cast<double>(values[i]);
      return static_cast<float>(sum / static_cast<double>(count));
    });
  });
}

void evaluate_max(const EvalContext& whole) {
  evaluate_in_f32(whole, [](const EvalContext& context) {
    reduce_planes(context, [](const float* values, std::int64_t count) {
      float best = -INFINITY;
      for (std::int64_t i = 0; i < count; ++i)
        if (best == best && !(values[i] <= best)) best = values[i];  // a no-number wins
      return best;
    });
  });
}

void evaluate_lp(const EvalContext& whole) {
  evaluate_in_f32(whole, [](const EvalContext& context) {
    const auto p = static_cast<float>(context.node.attributes.get_int("p", 2));
    reduce_planes(context, [p](const float* values, std::int64_t count) {
      float sum = 0;
      for (std::int64_t i = 0; i < count; ++i) sum += std::pow(std::abs(values[i]), p);
      return std::pow(sum, 1.0F / p);
    });
  });
}

Cost cost(const Graph& graph, const Node& node) {
  return {static_cast<double>(graph.value(node.inputs[0]).shape.num_elements()),
          operand_bytes(graph, node)};
}

/// Channels are apart too, so the batch may also be there.
SplitResult split(const SplitContext& context) {
  std::vector<int> spatial;
  for (int axis = 2; axis < context.shape(0).rank(); ++axis) spatial.push_back(axis);
  return split_keep_axis(context, spatial);
}

}  // namespace

const OpDef& op_global_average_pool() {
  static const OpDef def{.name = "GlobalAveragePool",
                         .infer = infer,
                         .evaluate = evaluate_average,
                         .cost = cost,
                         .split = split};
  return def;
}

const OpDef& op_global_max_pool() {
  static const OpDef def{.name = "GlobalMaxPool",
                         .infer = infer,
                         .evaluate = evaluate_max,
                         .cost = cost,
                         .split = split};
  return def;
}

const OpDef& op_global_lp_pool() {
  static const OpDef def{.name = "GlobalLpPool",
                         .infer = infer,
                         .evaluate = evaluate_lp,
                         .cost = cost,
                         .split = split};
  return def;
}

}  // namespace gacer
