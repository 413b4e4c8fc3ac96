#include <algorithm>
#include <cmath>
#include <limits>

#include "base/dtype.h"
#include "ops/common.h"
#include "ops/windows.h"

// MaxPool, AveragePool and LpPool: windows over the spatial axes of [N, C, …].
namespace gacer {
namespace {

std::vector<OutputType> infer_float(const InferContext& context) {
  require_float(context, 0);
  const Shape& x = context.shape(0);
  const Windows windows = pool_windows(context.node(), x);
  to_windows3(windows);
  return {{context.dtype(0), image_shape(x[0], x[1], windows.out)}};
}

std::vector<OutputType> infer_max(const InferContext& context) {
  const Shape& x = context.shape(0);
  const DType dtype = context.dtype(0);
  if (!is_float(dtype) && dtype != DType::kI8 && dtype != DType::kU8)
    fail(ErrorKind::kUnsupported, "input 0 is {}, only floats, i8 and u8 are supported",
         to_string(dtype));
  const Windows windows = pool_windows(context.node(), x);
  to_windows3(windows);
  const Shape shape = image_shape(x[0], x[1], windows.out);
  return {{dtype, shape}, {DType::kI64, shape}};
}

/// Calls body(plane, position, visit) for each output element, where visit(f) calls f(offset in
/// the plane, d, h, w) for every input element of the window.
template <typename Body>
void for_each_window(const Windows3& w, std::int64_t planes, Team& team, const Body& body) {
  const std::int64_t positions = w.out[0] * w.out[1] * w.out[2];
  team.parallel_for(planes, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t plane = begin; plane < end; ++plane)
      for (std::int64_t position = 0; position < positions; ++position) {
        const std::int64_t d0 = position / (w.out[2] * w.out[1]) * w.strides[0] - w.pads_begin[0];
        const std::int64_t h0 = position / w.out[2] % w.out[1] * w.strides[1] - w.pads_begin[1];
        const std::int64_t w0 = position % w.out[2] * w.strides[2] - w.pads_begin[2];
        body(plane, position, [&](const auto& visit) {
          for (std::int64_t kd = 0; kd < w.kernel[0]; ++kd) {
            const std::int64_t z = d0 + kd * w.dilations[0];
            if (z < 0 || z >= w.in[0]) continue;
            for (std::int64_t kh = 0; kh < w.kernel[1]; ++kh) {
              const std::int64_t y = h0 + kh * w.dilations[1];
              if (y < 0 || y >= w.in[1]) continue;
              for (std::int64_t kw = 0; kw < w.kernel[2]; ++kw) {
                const std::int64_t x = w0 + kw * w.dilations[2];
                if (x >= 0 && x < w.in[2]) visit((z * w.in[1] + y) * w.in[2] + x, z, y, x);
              }
            }
          }
        });
      }
  });
}

template <typename T>
void evaluate_max_typed(const EvalContext& context) {
  const TensorView& x = context.inputs[0];
  const Windows windows = pool_windows(context.node, x.shape);
  const Windows3 w = to_windows3(windows);
  const std::int64_t in_volume = windows.in_volume();
  const std::int64_t out_volume = windows.out_volume();
  const T* in = x.flat<T>().data();
  T* out = context.outputs[0].flat<T>().data();
  const bool has_indices = context.outputs.size() > 1 && context.outputs[1];
  std::int64_t* indices = has_indices ? context.outputs[1].flat<std::int64_t>().data() : nullptr;
  const bool is_column_major = context.node.attributes.get_int("storage_order", 0) == 1;
  for_each_window(
      w, x.shape[0] * x.shape[1], context.team,
      [&](std::int64_t plane, std::int64_t position, const auto& for_window) {
        T best = std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                                      : std::numeric_limits<T>::lowest();
        std::int64_t best_index = -1;
        for_window([&](std::int64_t offset, std::int64_t z, std::int64_t y, std::int64_t column) {
          const T value = in[plane * in_volume + offset];
          // The first no-number wins.
          if (best_index >= 0 && (best != best || value <= best)) return;
          best = value;
          best_index = is_column_major ? (column * w.in[1] + y) * w.in[0] + z : offset;
        });
        out[plane * out_volume + position] = best;
        if (indices != nullptr)
          indices[plane * out_volume + position] = plane * in_volume + best_index;
      });
}

void evaluate_max(const EvalContext& context) {
  switch (context.inputs[0].dtype) {
    case DType::kI8:
      return evaluate_max_typed<std::int8_t>(context);
    case DType::kU8:
      return evaluate_max_typed<std::uint8_t>(context);
    default:
      return evaluate_in_f32(context, evaluate_max_typed<float>);
  }
}

/// Window elements that count for an average with padding: those inside of the padded input.
std::int64_t padded_count(const Windows3& w, std::int64_t position) {
  const Windows3::Triple at{position / (w.out[2] * w.out[1]), position / w.out[2] % w.out[1],
                            position % w.out[2]};
  std::int64_t count = 1;
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const std::int64_t begin = at[axis] * w.strides[axis] - w.pads_begin[axis];
    std::int64_t inside = 0;
    for (std::int64_t k = 0; k < w.kernel[axis]; ++k)
      if (begin + k * w.dilations[axis] < w.in[axis] + w.pads_end[axis]) ++inside;
    count *= inside;
  }
  return count;
}

void evaluate_average_f32(const EvalContext& context) {
  const TensorView& x = context.inputs[0];
  const Windows windows = pool_windows(context.node, x.shape);
  const Windows3 w = to_windows3(windows);
  const std::int64_t in_volume = windows.in_volume();
  const std::int64_t out_volume = windows.out_volume();
  const float* in = x.flat<float>().data();
  float* out = context.outputs[0].flat<float>().data();
  const bool counts_padding = context.node.attributes.get_int("count_include_pad", 0) != 0;
  for_each_window(w, x.shape[0] * x.shape[1], context.team,
                  [&](std::int64_t plane, std::int64_t position, const auto& for_window) {
                    float sum = 0;
                    std::int64_t count = 0;
                    for_window([&](std::int64_t offset, auto...) {
                      sum += in[plane * in_volume + offset];
                      ++count;
                    });
                    if (counts_padding) count = padded_count(w, position);
                    out[plane * out_volume + position] =
                        count > 0 ? sum / static_cast<float>(count) : 0.0F;
                  });
}

void evaluate_average(const EvalContext& context) {
  evaluate_in_f32(context, evaluate_average_f32);
}

void evaluate_lp_f32(const EvalContext& context) {
  const TensorView& x = context.inputs[0];
  const Windows windows = pool_windows(context.node, x.shape);
  const std::int64_t in_volume = windows.in_volume();
  const std::int64_t out_volume = windows.out_volume();
  const float* in = x.flat<float>().data();
  float* out = context.outputs[0].flat<float>().data();
  const auto p = static_cast<float>(context.node.attributes.get_int("p", 2));
  for_each_window(to_windows3(windows), x.shape[0] * x.shape[1], context.team,
                  [&](std::int64_t plane, std::int64_t position, const auto& for_window) {
                    float sum = 0;
                    for_window([&](std::int64_t offset, auto...) {
                      sum += std::pow(std::abs(in[plane * in_volume + offset]), p);
                    });
                    out[plane * out_volume + position] = std::pow(sum, 1.0F / p);
                  });
}

void evaluate_lp(const EvalContext& context) { evaluate_in_f32(context, evaluate_lp_f32); }

Cost cost(const Graph& graph, const Node& node) {
  const auto windows = pool_windows(node, graph.value(node.inputs[0]).shape);
  return {output_elements(graph, node) * static_cast<double>(windows.kernel_volume()),
          operand_bytes(graph, node)};
}

SplitResult split_max(const SplitContext& context) {
  if (context.node.outputs.size() > 1 && context.node.outputs[1] != kNone)
    return refuse("Indices count positions in the whole batch");
  return split_leading(context);
}

}  // namespace

const OpDef& op_max_pool() {
  static const OpDef def{.name = "MaxPool",
                         .infer = infer_max,
                         .evaluate = evaluate_max,
                         .cost = cost,
                         .split = split_max};
  return def;
}

const OpDef& op_average_pool() {
  static const OpDef def{.name = "AveragePool",
                         .infer = infer_float,
                         .evaluate = evaluate_average,
                         .cost = cost,
                         .split = split_leading};
  return def;
}

const OpDef& op_lp_pool() {
  static const OpDef def{.name = "LpPool",
                         .infer = infer_float,
                         .evaluate = evaluate_lp,
                         .cost = cost,
                         .split = split_leading};
  return def;
}

}  // namespace gacer
