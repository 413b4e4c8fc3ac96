#include <algorithm>
#include <cmath>

#include "base/dtype.h"
#include "ops/common.h"

namespace gacer {
namespace {

std::vector<OutputType> infer(const InferContext& context) {
  require_float(context, 0);
  require_rank_at_least(context, 0, 2);
  const std::int64_t size = context.node().attributes.get_int("size", 0);
  if (size < 1) fail(ErrorKind::kModel, "attribute 'size' is {}", size);
  return infer_like_input(context);
}

void evaluate_f32(const EvalContext& context) {
  const Attributes& attributes = context.node.attributes;
  const Shape& shape = context.inputs[0].shape;
  const std::int64_t size = attributes.get_int("size", 1);
  const float alpha = attributes.get_float("alpha", 1e-4F);
  const float beta = attributes.get_float("beta", 0.75F);
  const float bias = attributes.get_float("bias", 1.0F);
  const std::int64_t channels = shape[1];
  const std::int64_t plane = product(shape, 2, shape.rank());
  const float* x = context.inputs[0].flat<float>().data();
  float* y = context.outputs[0].flat<float>().data();
  context.team.parallel_for(shape[0] * channels, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t c = i % channels;
      const std::int64_t first = std::max<std::int64_t>(0, c - (size - 1) / 2);
      const std::int64_t last = std::min(channels - 1, c + size / 2);
      for (std::int64_t p = 0; p < plane; ++p) {
        float squares = 0;
        for (std::int64_t other = first; other <= last; ++other) {
          const float value = x[(i - c + other) * plane + p];
          squares += value * value;
        }
        y[i * plane + p] =
            x[i * plane + p] / std::pow(bias + alpha / static_cast<float>(size) * squares, beta);
      }
    }
  });
}

void evaluate(const EvalContext& context) { evaluate_in_f32(context, evaluate_f32); }

Cost cost(const Graph& graph, const Node& node) {
  const auto size = static_cast<double>(node.attributes.get_int("size", 1));
  return {output_elements(graph, node) * (2 * size + 4), operand_bytes(graph, node)};
}

SplitResult split(const SplitContext& context) { return split_keep_axis(context, std::array{1}); }

}  // namespace

const OpDef& op_lrn() {
  static const OpDef def{
      .name = "LRN", .infer = infer, .evaluate = evaluate, .cost = cost, .split = split};
  return def;
}

}  // namespace gacer
