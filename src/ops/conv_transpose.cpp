#include <algorithm>
#include <vector>

#include "ops/common.h"
#include "ops/gemm.h"
#include "ops/windows.h"

namespace gacer {
namespace {

std::vector<OutputType> infer(const InferContext& context) {
  require_float(context, 0);
  require_rank_at_least(context, 0, 3);
  const Shape& x = context.shape(0);
  const Shape& w = context.shape(1);
  require_rank(context, 1, x.rank());
  const std::int64_t group = context.node().attributes.get_int("group", 1);
  if (group < 1 || x[1] != w[0] || x[1] % group != 0)
    fail(ErrorKind::kModel, "input {} and weight {} do not agree with group {}", x.to_string(),
         w.to_string(), group);
  const std::int64_t filters = w[1] * group;
  if (context.has_input(2) && context.shape(2) != Shape{filters})
    fail(ErrorKind::kModel, "bias {} for {} output channels", context.shape(2).to_string(),
         filters);
  const Windows windows = conv_transpose_windows(context.node(), x, w);
  to_windows3(windows);
  return {{context.dtype(0), image_shape(x[0], filters, windows.in)}};
}

/// Adds one kernel position's products, which lie at the input's positions, to an output plane.
void scatter(const Windows3& w, std::int64_t kd, std::int64_t kh, std::int64_t kw,
             const float* products, float* plane) {
  for (std::int64_t d = 0; d < w.out[0]; ++d) {
    const std::int64_t z = d * w.strides[0] - w.pads_begin[0] + kd * w.dilations[0];
    if (z < 0 || z >= w.in[0]) continue;
    for (std::int64_t h = 0; h < w.out[1]; ++h) {
      const std::int64_t y = h * w.strides[1] - w.pads_begin[1] + kh * w.dilations[1];
      if (y < 0 || y >= w.in[1]) continue;
      const float* row = products + (d * w.out[1] + h) * w.out[2];
      float* to = plane + (z * w.in[1] + y) * w.in[2];
      for (std::int64_t i = 0; i < w.out[2]; ++i) {
        const std::int64_t x = i * w.strides[2] - w.pads_begin[2] + kw * w.dilations[2];
        if (x >= 0 && x < w.in[2]) to[x] += row[i];
      }
    }
  }
}

void evaluate_f32(const EvalContext& context) {
  const TensorView& x = context.inputs[0];
  const TensorView& w = context.inputs[1];
  const Windows windows = conv_transpose_windows(context.node, x.shape, w.shape);
  const Windows3 windows3 = to_windows3(windows);
  const std::int64_t group = context.node.attributes.get_int("group", 1);
  const std::int64_t channels = x.shape[1] / group;
  const std::int64_t filters = w.shape[1];
  const std::int64_t volume = windows.kernel_volume();
  const std::int64_t positions = windows.out_volume();
  const std::int64_t out_volume = windows.in_volume();
  const GemmSizes sizes{filters * volume, positions, channels};
  const float* in = x.flat<float>().data();
  const float* weight = w.flat<float>().data();
  const float* bias = context.has_input(2) ? context.inputs[2].flat<float>().data() : nullptr;
  float* out = context.outputs[0].flat<float>().data();

  std::vector<float> transposed(static_cast<std::size_t>(sizes.m * sizes.k));
  std::vector<float> products(static_cast<std::size_t>(sizes.m * sizes.n));
  for (std::int64_t g = 0; g < group; ++g) {
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t m = 0; m < sizes.m; ++m)
        transposed[static_cast<std::size_t>(m * channels + c)] =
            weight[(g * channels + c) * sizes.m + m];
    for (std::int64_t n = 0; n < x.shape[0]; ++n) {
      gemm(sizes, transposed.data(), channels, in + (n * group + g) * channels * positions,
           positions, 1, products.data(), positions, context.team);
      context.team.parallel_for(filters, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t m = begin; m < end; ++m) {
          float* plane = out + ((n * group + g) * filters + m) * out_volume;
          std::fill_n(plane, out_volume, bias != nullptr ? bias[g * filters + m] : 0.0F);
          const float* from = products.data() + m * volume * positions;
          for (std::int64_t kd = 0; kd < windows3.kernel[0]; ++kd)
            for (std::int64_t kh = 0; kh < windows3.kernel[1]; ++kh)
              for (std::int64_t kw = 0; kw < windows3.kernel[2]; ++kw, from += positions)
                scatter(windows3, kd, kh, kw, from, plane);
        }
      });
    }
  }
}

void evaluate(const EvalContext& context) { evaluate_in_f32(context, evaluate_f32); }

Cost cost(const Graph& graph, const Node& node) {
  const Value& x = graph.value(node.inputs[0]);
  const Shape& w = graph.value(node.inputs[1]).shape;
  return {2.0 * static_cast<double>(x.shape.num_elements()) *
              static_cast<double>(product(w, 1, w.rank())),
          operand_bytes(graph, node)};
}

}  // namespace

const OpDef& op_conv_transpose() {
  static const OpDef def{.name = "ConvTranspose",
                         .infer = infer,
                         .evaluate = evaluate,
                         .cost = cost,
                         .split = split_leading};
  return def;
}

}  // namespace gacer
