// AffineConv: y = Conv(act(x * scale[c] + shift[c]), w) + bias, act being relu with relu=1 and
// nothing otherwise; inputs x, w, bias (optional), scale, shift, attributes of Conv. Padding of the
// window is zero, as of a Conv that reads the scaled image.

#include <algorithm>
#include <vector>

#include "ops/common.h"

namespace gacer {

const OpDef& op_conv();

namespace {

constexpr int kScale = 3;
constexpr int kShift = 4;

std::vector<OutputType> infer(const InferContext& context) {
  const Shape channels{context.shape(0)[1]};
  for (const int i : {kScale, kShift})
    if (context.shape(i) != channels)
      fail(ErrorKind::kModel, "input {} is {} for input {}", i, context.shape(i).to_string(),
           context.shape(0).to_string());
  return op_conv().infer(context);
}

void evaluate_f32(const EvalContext& context) {
  const TensorView& x = context.inputs[0];
  const std::int64_t plane = product(x.shape, 2, x.shape.rank());
  const bool has_relu = context.node.attributes.get_int("relu", 0) != 0;
  const auto scale = context.inputs[kScale].flat<float>();
  const auto shift = context.inputs[kShift].flat<float>();
  Tensor scaled(DType::kF32, x.shape);
  const float* from = x.flat<float>().data();
  float* to = TensorView::of(scaled).flat<float>().data();
  context.team.parallel_for(x.shape[0] * x.shape[1], 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto c = static_cast<std::size_t>(i % x.shape[1]);
      for (std::int64_t j = i * plane; j < (i + 1) * plane; ++j) {
        const float value = from[j] * scale[c] + shift[c];
        to[j] = has_relu ? std::max(value, 0.0F) : value;
      }
    }
  });
  std::vector<TensorView> inputs(context.inputs.begin(), context.inputs.begin() + kScale);
  inputs[0] = TensorView::of(scaled);
  op_conv().evaluate(EvalContext{context.node, inputs, context.outputs, context.team});
}

void evaluate(const EvalContext& context) { evaluate_in_f32(context, evaluate_f32); }

Cost cost(const Graph& graph, const Node& node) {
  Cost cost = op_conv().cost(graph, node);
  const Shape& x = graph.value(node.inputs[0]).shape;
  cost.flop += 2.0 * static_cast<double>(x.num_elements());
  return cost;
}

}  // namespace

const OpDef& op_affine_conv() {
  static const OpDef def{.name = "AffineConv",
                         .domain = "gacer",
                         .infer = infer,
                         .evaluate = evaluate,
                         .cost = cost,
                         .split = split_leading};
  return def;
}

}  // namespace gacer
