#include <cmath>
#include <vector>

#include "base/dtype.h"
#include "ops/common.h"

// GroupNormalization and InstanceNormalization (groups of one channel): statistics over a group's
// channels and all spatial axes of one item.
namespace gacer {
namespace {

std::int64_t num_groups(const Node& node, const Shape& x) {
  return node.op == "InstanceNormalization" ? x[1] : node.attributes.get_int("num_groups", 0);
}

std::vector<OutputType> infer(const InferContext& context) {
  require_float(context, 0);
  require_rank_at_least(context, 0, 2);
  const Shape& x = context.shape(0);
  const std::int64_t groups = num_groups(context.node(), x);
  if (groups < 1 || x[1] % groups != 0)
    fail(ErrorKind::kModel, "{} groups of {} channels", groups, x[1]);
  for (int i = 1; i < 3; ++i)
    if (context.shape(i) != Shape{x[1]})
      fail(ErrorKind::kModel, "input {} is {} for input {}", i, context.shape(i).to_string(),
           x.to_string());
  return infer_like_input(context);
}

void evaluate_f32(const EvalContext& context) {
  const Shape& shape = context.inputs[0].shape;
  const std::int64_t groups = num_groups(context.node, shape);
  const std::int64_t channels = shape[1] / groups;
  const std::int64_t plane = product(shape, 2, shape.rank());
  const std::int64_t length = channels * plane;
  const auto epsilon = static_cast<double>(context.node.attributes.get_float("epsilon", 1e-5F));
  const float* x = context.inputs[0].flat<float>().data();
  const float* scale = context.inputs[1].flat<float>().data();
  const float* bias = context.inputs[2].flat<float>().data();
  float* y = context.outputs[0].flat<float>().data();
  context.team.parallel_for(shape[0] * groups, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const float* in = x + i * length;
      double sum = 0;
      for (std::int64_t j = 0; j < length; ++j) sum += static_cast<double>(in[j]);
      const double mean = sum / static_cast<double>(length);
      double squares = 0;
      for (std::int64_t j = 0; j < length; ++j) {
        const double centred = static_cast<double>(in[j]) - mean;
        squares += centred * centred;
      }
      const double inverse = 1.0 / std::sqrt(squares / static_cast<double>(length) + epsilon);
      for (std::int64_t j = 0; j < length; ++j) {
        const std::int64_t c = i % groups * channels + j / plane;
        const auto centred = static_cast<float>((static_cast<double>(in[j]) - mean) * inverse);
        y[i * length + j] = centred * scale[c] + bias[c];
      }
    }
  });
}

void evaluate(const EvalContext& context) { evaluate_in_f32(context, evaluate_f32); }

Cost cost(const Graph& graph, const Node& node) {
  return {8 * output_elements(graph, node), operand_bytes(graph, node)};
}

/// Before opset 21 scale and bias of a GroupNormalization were per group.
void import_group(ImportContext& context) {
  context.node.attributes.erase("stash_type");
  if (context.opset >= 21) return;
  Graph& graph = context.graph;
  if (context.node.inputs.size() < 3 || context.node.inputs[1] == kNone)
    fail(ErrorKind::kModel, "scale and bias are missing");
  const Shape x = graph.value(context.node.inputs[0]).shape;
  const std::int64_t groups = context.node.attributes.get_int("num_groups", 0);
  if (x.rank() < 2 || groups < 1 || x[1] % groups != 0)
    fail(ErrorKind::kModel, "{} groups on input {}", groups, x.to_string());
  const std::int64_t repeats = x[1] / groups;
  if (repeats == 1) return;
  for (int i = 1; i < 3; ++i) {
    const Value& operand = graph.value(context.node.inputs[static_cast<std::size_t>(i)]);
    if (!operand.constant)
      fail(ErrorKind::kUnsupported, "scale or bias per group ('{}') is not a constant",
           operand.name);
    const TensorView from = TensorView::of(*operand.constant);
    if (from.shape != Shape{groups} || !is_float(from.dtype))
      fail(ErrorKind::kModel, "input {} is {} for {} groups", i, from.shape.to_string(), groups);
    Tensor repeated(from.dtype, Shape{x[1]});
    const TensorView to = TensorView::of(repeated);
    for (std::int64_t c = 0; c < x[1]; ++c) store_f32(to, c, load_f32(from, c / repeats));
    set_input(context, i, graph.add_constant(operand.name + ":per_channel", std::move(repeated)));
  }
}

void import_instance(ImportContext& context) { context.node.attributes.erase("consumed_inputs"); }

}  // namespace

const OpDef& op_group_normalization() {
  static const OpDef def{.name = "GroupNormalization",
                         .min_opset = 18,
                         .infer = infer,
                         .evaluate = evaluate,
                         .cost = cost,
                         .split = split_leading,
                         .import = import_group};
  return def;
}

const OpDef& op_instance_normalization() {
  static const OpDef def{.name = "InstanceNormalization",
                         .infer = infer,
                         .evaluate = evaluate,
                         .cost = cost,
                         .split = split_leading,
                         .import = import_instance};
  return def;
}

}  // namespace gacer
