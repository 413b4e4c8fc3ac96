#include <cmath>

#include "base/dtype.h"
#include "ops/common.h"

namespace gacer {
namespace {

std::vector<OutputType> infer(const InferContext& context) {
  require_float(context, 0);
  require_rank_at_least(context, 0, 2);
  const Attributes& attributes = context.node().attributes;
  if (attributes.get_int("training_mode", 0) != 0)
    fail(ErrorKind::kUnsupported, "training_mode=1: the statistics of a batch are for training");
  if (attributes.get_int("spatial", 1) == 0)
    fail(ErrorKind::kUnsupported, "spatial=0: statistics per position are not supported");
  const Shape channels{context.shape(0)[1]};
  for (int i = 1; i < 5; ++i)
    if (context.shape(i) != channels)
      fail(ErrorKind::kModel, "input {} is {} for input {}", i, context.shape(i).to_string(),
           context.shape(0).to_string());
  return infer_like_input(context);
}

void evaluate_f32(const EvalContext& context) {
  const Shape& shape = context.inputs[0].shape;
  const float epsilon = context.node.attributes.get_float("epsilon", 1e-5F);
  const std::int64_t plane = product(shape, 2, shape.rank());
  const float* x = context.inputs[0].flat<float>().data();
  const auto scale = context.inputs[1].flat<float>();
  const auto bias = context.inputs[2].flat<float>();
  const auto mean = context.inputs[3].flat<float>();
  const auto variance = context.inputs[4].flat<float>();
  float* y = context.outputs[0].flat<float>().data();
  context.team.parallel_for(shape[0] * shape[1], 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto c = static_cast<std::size_t>(i % shape[1]);
      const float factor = scale[c] / std::sqrt(variance[c] + epsilon);
      for (std::int64_t j = i * plane; j < (i + 1) * plane; ++j)
        y[j] = (x[j] - mean[c]) * factor + bias[c];
    }
  });
}

void evaluate(const EvalContext& context) { evaluate_in_f32(context, evaluate_f32); }

Cost cost(const Graph& graph, const Node& node) {
  return {2 * output_elements(graph, node), operand_bytes(graph, node)};
}

SplitResult split(const SplitContext& context) { return split_keep_axis(context, std::array{1}); }

/// Older opsets named the moving averages as outputs, which inference leaves out.
void import_node(ImportContext& context) {
  context.node.attributes.erase("momentum");
  context.node.attributes.erase("consumed_inputs");
  if (context.opset < 7) {
    if (context.node.attributes.get_int("is_test", 0) == 0)
      fail(ErrorKind::kUnsupported, "is_test=0: the statistics of a batch are for training");
    context.node.attributes.erase("is_test");
  }
}

}  // namespace

const OpDef& op_batch_normalization() {
  static const OpDef def{.name = "BatchNormalization",
                         .infer = infer,
                         .evaluate = evaluate,
                         .cost = cost,
                         .split = split,
                         .import = import_node};
  return def;
}

}  // namespace gacer
