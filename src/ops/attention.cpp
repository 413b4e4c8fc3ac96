#include "ops/attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/dtype.h"
#include "ops/common.h"

namespace gacer {

AttentionShapes attention_shapes(const Node& node, const Shape& q, const Shape& k, const Shape& v) {
  const std::string layout = node.attributes.get_string("layout", "bhsd");
  AttentionShapes s;
  const bool k_transposed = node.attributes.get_int("k_transposed", 0) != 0;
  bool agrees = false;
  if (layout == "bhsd") {
    if (q.rank() != 4 || k.rank() != 4 || v.rank() != 4)
      fail(ErrorKind::kModel, "q {}, k {} and v {} must have rank 4", q.to_string(), k.to_string(),
           v.to_string());
    s.batch = q[0];
    s.heads = q[1];
    s.queries = q[2];
    s.head_size = q[3];
    s.keys = v[2];
    s.value_size = v[3];
    agrees = k == (k_transposed ? Shape{s.batch, s.heads, s.head_size, s.keys}
                                : Shape{s.batch, s.heads, s.keys, s.head_size}) &&
             v[0] == s.batch && v[1] == s.heads;
    s.q = {s.heads * s.queries * s.head_size, s.queries * s.head_size, s.head_size, 1};
    s.k = {s.heads * s.keys * s.head_size, s.keys * s.head_size, k_transposed ? 1 : s.head_size,
           k_transposed ? s.keys : 1};
    s.v = {s.heads * s.keys * s.value_size, s.keys * s.value_size, s.value_size, 1};
    s.out = {s.heads * s.queries * s.value_size, s.queries * s.value_size, s.value_size, 1};
    s.out_shape = Shape{s.batch, s.heads, s.queries, s.value_size};
  } else if (layout == "bshd") {
    s.heads = node.attributes.get_int("num_heads", 0);
    if (q.rank() != 3 || k.rank() != 3 || v.rank() != 3 || s.heads < 1 || k_transposed ||
        q[2] % s.heads != 0 || v[2] % s.heads != 0)
      fail(ErrorKind::kModel, "q {}, k {} and v {} with num_heads {} in layout bshd", q.to_string(),
           k.to_string(), v.to_string(), s.heads);
    s.batch = q[0];
    s.queries = q[1];
    s.head_size = q[2] / s.heads;
    s.keys = k[1];
    s.value_size = v[2] / s.heads;
    agrees = k == Shape{s.batch, s.keys, q[2]} && v[0] == s.batch && v[1] == s.keys;
    s.q = {s.queries * q[2], s.head_size, q[2], 1};
    s.k = {s.keys * q[2], s.head_size, q[2], 1};
    s.v = {s.keys * v[2], s.value_size, v[2], 1};
    s.out = {s.queries * v[2], s.value_size, v[2], 1};
    s.out_shape = Shape{s.batch, s.queries, v[2]};
  } else {
    fail(ErrorKind::kModel, "attribute 'layout' is '{}', not bhsd or bshd", layout);
  }
  if (!agrees)
    fail(ErrorKind::kModel, "q {}, k {} and v {} do not agree", q.to_string(), k.to_string(),
         v.to_string());
  return s;
}

namespace {

Shape scores_shape(const AttentionShapes& s) { return Shape{s.batch, s.heads, s.queries, s.keys}; }

std::vector<OutputType> infer(const InferContext& context) {
  require_float(context, 0);
  const AttentionShapes s =
      attention_shapes(context.node(), context.shape(0), context.shape(1), context.shape(2));
  if (context.has_input(3)) {
    require_float(context, 3);
    if (broadcast_shapes(context.shape(3), scores_shape(s)) != scores_shape(s))
      fail(ErrorKind::kModel, "mask {} does not broadcast to {}", context.shape(3).to_string(),
           scores_shape(s).to_string());
  }
  return {{context.dtype(0), s.out_shape}};
}

void evaluate_f32(const EvalContext& context) {
  const Attributes& attributes = context.node.attributes;
  const AttentionShapes s = attention_shapes(context.node, context.inputs[0].shape,
                                             context.inputs[1].shape, context.inputs[2].shape);
  const float* q = context.inputs[0].flat<float>().data();
  const float* k = context.inputs[1].flat<float>().data();
  const float* v = context.inputs[2].flat<float>().data();
  const bool has_mask = context.has_input(3);
  const float* mask = has_mask ? context.inputs[3].flat<float>().data() : nullptr;
  const auto mask_strides = has_mask ? broadcast_strides(context.inputs[3].shape, scores_shape(s))
                                     : std::vector<std::int64_t>(4, 0);
  float* out = context.outputs[0].flat<float>().data();
  const float scale = attributes.get_float("scale", 1.0F);
  const bool causal = attributes.get_int("causal", 0) != 0;
  context.team.parallel_for(s.batch * s.heads, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> scores(static_cast<std::size_t>(s.keys));
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t b = i / s.heads;
      const std::int64_t h = i % s.heads;
      const float* kh = k + b * s.k[0] + h * s.k[1];
      const float* vh = v + b * s.v[0] + h * s.v[1];
      for (std::int64_t row = 0; row < s.queries; ++row) {
        const float* qr = q + b * s.q[0] + h * s.q[1] + row * s.q[2];
        float* y = out + b * s.out[0] + h * s.out[1] + row * s.out[2];
        const std::int64_t visible = causal ? std::min(s.keys, row + 1) : s.keys;
        float largest = -INFINITY;
        for (std::int64_t j = 0; j < visible; ++j) {
          float dot = 0;
          for (std::int64_t d = 0; d < s.head_size; ++d) dot += qr[d] * kh[j * s.k[2] + d * s.k[3]];
          dot *= scale;
          if (has_mask)
            dot += mask[b * mask_strides[0] + h * mask_strides[1] + row * mask_strides[2] +
                        j * mask_strides[3]];
          scores[static_cast<std::size_t>(j)] = dot;
          largest = std::max(largest, dot);
        }
        std::fill_n(y, s.value_size, 0.0F);
        if (largest == -INFINITY) continue;
        float sum = 0;
        for (std::int64_t j = 0; j < visible; ++j) {
          float& score = scores[static_cast<std::size_t>(j)];
          score = std::exp(score - largest);
          sum += score;
        }
        for (std::int64_t j = 0; j < visible; ++j) {
          const float weight = scores[static_cast<std::size_t>(j)] / sum;
          for (std::int64_t d = 0; d < s.value_size; ++d) y[d] += weight * vh[j * s.v[2] + d];
        }
      }
    }
  });
}

void evaluate(const EvalContext& context) { evaluate_in_f32(context, evaluate_f32); }

Cost cost(const Graph& graph, const Node& node) {
  const auto shape = [&](std::size_t i) { return graph.value(node.inputs[i]).shape; };
  const AttentionShapes s = attention_shapes(node, shape(0), shape(1), shape(2));
  const auto scores = static_cast<double>(scores_shape(s).num_elements());
  return {scores * (2.0 * static_cast<double>(s.head_size + s.value_size) + 5),
          operand_bytes(graph, node)};
}

SplitResult split(const SplitContext& context) {
  if (auto only = only_batched(context, {0, 1, 2, 3}); !only) return Refusal{only.reason()};
  for (std::size_t i = 0; i < 3; ++i)
    if (!context.inputs[i] || context.inputs[i]->axis != 0 ||
        context.inputs[i] != context.inputs[0])
      return refuse("input {} does not carry the batch on axis 0 like the others", i);
  if (context.node.num_op_inputs > 3 && context.node.inputs[3] != kNone) {
    const Shape& mask = context.shape(3);
    const auto& batch = context.inputs[3];
    if (batch ? mask.rank() != 4 || batch != context.inputs[0] : mask.rank() == 4 && mask[0] != 1)
      return refuse("the mask {} does not carry the batch on axis 0", mask.to_string());
  }
  return all_outputs(context, *context.inputs[0]);
}

}  // namespace

const OpDef& op_attention() {
  static const OpDef def{.name = "Attention",
                         .domain = "gacer",
                         .infer = infer,
                         .evaluate = evaluate,
                         .cost = cost,
                         .split = split};
  return def;
}

}  // namespace gacer
