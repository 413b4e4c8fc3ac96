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
  if (group < 1 || x[1] != w[1] * group || w[0] % group != 0)
    fail(ErrorKind::kModel, "input {} and weight {} do not agree with group {}", x.to_string(),
         w.to_string(), group);
  if (context.has_input(2) && context.shape(2) != Shape{w[0]})
    fail(ErrorKind::kModel, "bias {} for {} output channels", context.shape(2).to_string(), w[0]);
  const Windows windows = conv_windows(context.node(), x, w);
  to_windows3(windows);
  return {{context.dtype(0), image_shape(x[0], w[0], windows.out)}};
}

/// Packs windows of one image and group as columns: row k is (channel, kernel position).
class WindowPacker {
 public:
  WindowPacker(const Windows3& windows, std::int64_t channels, const float* image)
      : w_(windows), channels_(channels), image_(image) {}

  void operator()(std::int64_t column, int count, float* packed) const {
    std::array<std::int64_t, kGemmPanel> d{}, h{}, w{};
    for (int j = 0; j < count; ++j) {
      const std::int64_t position = column + j;
      const auto at = static_cast<std::size_t>(j);
      w[at] = position % w_.out[2] * w_.strides[2] - w_.pads_begin[2];
      h[at] = position / w_.out[2] % w_.out[1] * w_.strides[1] - w_.pads_begin[1];
      d[at] = position / (w_.out[2] * w_.out[1]) * w_.strides[0] - w_.pads_begin[0];
    }
    // Neighbours in one input row are copied together.
    const bool is_run =
        count == kGemmPanel && w_.strides[2] == 1 && h.front() == h.back() && d.front() == d.back();
    for (std::int64_t c = 0; c < channels_; ++c) {
      const float* plane = image_ + c * w_.in[0] * w_.in[1] * w_.in[2];
      for (std::int64_t kd = 0; kd < w_.kernel[0]; ++kd)
        for (std::int64_t kh = 0; kh < w_.kernel[1]; ++kh)
          for (std::int64_t kw = 0; kw < w_.kernel[2]; ++kw, packed += kGemmPanel) {
            const std::int64_t x0 = w.front() + kw * w_.dilations[2];
            const std::int64_t y0 = h.front() + kh * w_.dilations[1];
            const std::int64_t z0 = d.front() + kd * w_.dilations[0];
            if (is_run && x0 >= 0 && x0 + kGemmPanel <= w_.in[2] && is_in(y0, 1) && is_in(z0, 0)) {
              std::copy_n(plane + (z0 * w_.in[1] + y0) * w_.in[2] + x0, kGemmPanel, packed);
              continue;
            }
            for (int j = 0; j < count; ++j) {
              const auto at = static_cast<std::size_t>(j);
              const std::int64_t x = w[at] + kw * w_.dilations[2];
              const std::int64_t y = h[at] + kh * w_.dilations[1];
              const std::int64_t z = d[at] + kd * w_.dilations[0];
              packed[j] = is_in(x, 2) && is_in(y, 1) && is_in(z, 0)
                              ? plane[(z * w_.in[1] + y) * w_.in[2] + x]
                              : 0.0F;
            }
          }
    }
  }

 private:
  bool is_in(std::int64_t at, std::size_t axis) const { return at >= 0 && at < w_.in[axis]; }

  const Windows3& w_;
  std::int64_t channels_;
  const float* image_;
};

void evaluate_f32(const EvalContext& context) {
  const TensorView& x = context.inputs[0];
  const TensorView& w = context.inputs[1];
  const Windows windows = conv_windows(context.node, x.shape, w.shape);
  const Windows3 windows3 = to_windows3(windows);
  const std::int64_t group = context.node.attributes.get_int("group", 1);
  const std::int64_t channels = x.shape[1] / group;
  const std::int64_t filters = w.shape[0] / group;
  const std::int64_t in_volume = windows.in_volume();
  const std::int64_t positions = windows.out_volume();
  const GemmSizes sizes{filters, positions, channels * windows.kernel_volume()};
  const float* in = x.flat<float>().data();
  const float* weight = w.flat<float>().data();
  const float* bias = context.has_input(2) ? context.inputs[2].flat<float>().data() : nullptr;
  float* out = context.outputs[0].flat<float>().data();
  const std::int64_t panels = num_panels(positions);
  const auto run = [&](std::int64_t image_group, std::int64_t first, std::int64_t last) {
    const std::int64_t g = image_group % group;
    float* c = out + image_group * filters * positions;
    gemm_panels(sizes, weight + g * filters * sizes.k, sizes.k,
                WindowPacker(windows3, channels, in + image_group * channels * in_volume), c,
                positions, first, last);
    if (bias == nullptr) return;
    const std::int64_t begin = first * kGemmPanel;
    const std::int64_t end = std::min(last * kGemmPanel, positions);
    for (std::int64_t m = 0; m < filters; ++m)
      for (std::int64_t i = begin; i < end; ++i) c[m * positions + i] += bias[g * filters + m];
  };
  context.team.parallel_for(x.shape[0] * group * panels, 1,
                            [&](std::int64_t begin, std::int64_t end) {
                              while (begin < end) {
                                const std::int64_t first = begin % panels;
                                const std::int64_t count = std::min(end - begin, panels - first);
                                run(begin / panels, first, first + count);
                                begin += count;
                              }
                            });
}

void evaluate(const EvalContext& context) { evaluate_in_f32(context, evaluate_f32); }

Cost cost(const Graph& graph, const Node& node) {
  const Shape& w = graph.value(node.inputs[1]).shape;
  const double per_output = 2.0 * static_cast<double>(product(w, 1, w.rank()));
  const double bias = node.num_op_inputs > 2 && node.inputs[2] != kNone ? 1 : 0;
  return {output_elements(graph, node) * (per_output + bias), operand_bytes(graph, node)};
}

}  // namespace

const OpDef& op_conv() {
  static const OpDef def{
      .name = "Conv", .infer = infer, .evaluate = evaluate, .cost = cost, .split = split_leading};
  return def;
}

}  // namespace gacer
