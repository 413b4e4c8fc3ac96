#include <algorithm>
#include <numeric>

#include "ops/data_movement.h"
#include "ops/elementwise.h"

// Operators that look for elements, or run, along one axis: ArgMax, ArgMin, TopK, CumSum.
namespace gacer {
namespace {

constexpr std::int64_t kGrainElements = 1 << 14;

std::int64_t grain_of(const AxisView& view) {
  return kGrainElements / std::max<std::int64_t>(1, view.size) + 1;
}

/// Runs body(first element's offset, line number) for each line along the axis.
template <typename Body>
void for_each_line(const AxisView& view, Team& team, const Body& body) {
  team.parallel_for(view.outer * view.inner, grain_of(view),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t i = begin; i < end; ++i)
                        body(i / view.inner * view.size * view.inner + i % view.inner, i);
                    });
}

SplitResult split_along(const SplitContext& context, int axis, bool removes_axis) {
  SplitResult result = split_keep_axis(context, std::array{axis});
  if (!result || !removes_axis || context.inputs[0]->axis < axis) return result;
  return all_outputs(context, {context.inputs[0]->axis - 1, context.inputs[0]->factor});
}

// ---- ArgMax, ArgMin --------------------------------------------------------------------------

std::vector<OutputType> infer_arg(const InferContext& context) {
  check_type(context, 0, TypeSet::kNumeric);
  std::vector<std::int64_t> dims = context.shape(0).dims();
  const int axis = axis_attribute(context.node(), 0, context.shape(0).rank());
  if (dims[static_cast<std::size_t>(axis)] == 0)
    fail(ErrorKind::kModel, "{}: axis {} of {} is empty", context.node().op, axis,
         context.shape(0).to_string());
  if (context.node().attributes.get_int("keepdims", 1) != 0)
    dims[static_cast<std::size_t>(axis)] = 1;
  else
    dims.erase(dims.begin() + axis);
  return {{DType::kI64, Shape(std::move(dims))}};
}

template <bool kLargest>
void evaluate_arg(const EvalContext& context) {
  const TensorView& x = context.inputs[0];
  const AxisView view = view_along(x.shape, axis_attribute(context.node, 0, x.shape.rank()));
  const bool takes_last = context.node.attributes.get_int("select_last_index", 0) != 0;
  auto* out = reinterpret_cast<std::int64_t*>(context.outputs[0].data);
  dispatch_in<TypeSet::kNumeric>(x.dtype, context.node, [&](auto tag) {
    using T = decltype(tag);
    const auto* data = reinterpret_cast<const T*>(x.data);
    for_each_line(view, context.team, [&](std::int64_t first, std::int64_t line) {
      auto best = load(data[first]);
      std::int64_t at = 0;
      for (std::int64_t k = 1; k < view.size; ++k) {
        const auto value = load(data[first + k * view.inner]);
        const bool is_better = kLargest ? value > best : value < best;
        if (!is_better && !(takes_last && value == best)) continue;
        best = value;
        at = k;
      }
      out[line] = at;
    });
  });
}

SplitResult split_arg(const SplitContext& context) {
  return split_along(context, axis_attribute(context.node, 0, context.shape(0).rank()),
                     context.node.attributes.get_int("keepdims", 1) == 0);
}

Cost cost_scan(const Graph& graph, const Node& node) {
  return {.flop = static_cast<double>(graph.value(node.inputs[0]).shape.num_elements()),
          .bytes = operand_bytes(graph, node)};
}

// ---- TopK ------------------------------------------------------------------------------------

std::vector<OutputType> infer_top_k(const InferContext& context) {
  check_type(context, 0, TypeSet::kNumeric);
  Shape shape = context.shape(0);
  const int axis = axis_attribute(context.node(), -1, shape.rank());
  const std::vector<std::int64_t> k = context.constant_ints(1);
  if (k.size() != 1 || k[0] < 0 || k[0] > shape[axis])
    fail(ErrorKind::kModel, "TopK: k is {}, axis {} of {}", Shape(k).to_string(), axis,
         shape.to_string());
  shape[axis] = k[0];
  return {{context.dtype(0), shape}, {DType::kI64, shape}};
}

/// Always sorted; of equal elements the one with the lower index comes first.
void evaluate_top_k(const EvalContext& context) {
  const TensorView& x = context.inputs[0];
  const int axis = axis_attribute(context.node, -1, x.shape.rank());
  const AxisView view = view_along(x.shape, axis);
  const bool largest = context.node.attributes.get_int("largest", 1) != 0;
  const TensorView& values = context.outputs[0];
  const bool has_indices = context.outputs.size() > 1 && context.outputs[1];
  const std::int64_t k = values ? values.shape[axis] : context.outputs[1].shape[axis];
  dispatch_in<TypeSet::kNumeric>(x.dtype, context.node, [&](auto tag) {
    using T = decltype(tag);
    const auto* data = reinterpret_cast<const T*>(x.data);
    for_each_line(view, context.team, [&](std::int64_t first, std::int64_t line) {
      std::vector<std::int64_t> order(static_cast<std::size_t>(view.size));
      std::iota(order.begin(), order.end(), 0);
      const auto before = [&](std::int64_t a, std::int64_t b) {
        const auto va = load(data[first + a * view.inner]);
        const auto vb = load(data[first + b * view.inner]);
        if (va == vb) return a < b;
        return largest ? va > vb : va < vb;
      };
      std::partial_sort(order.begin(), order.begin() + k, order.end(), before);
      const std::int64_t base = line / view.inner * k * view.inner + line % view.inner;
      for (std::int64_t i = 0; i < k; ++i) {
        const std::int64_t from = order[static_cast<std::size_t>(i)];
        const std::int64_t to = base + i * view.inner;
        if (values) reinterpret_cast<T*>(values.data)[to] = data[first + from * view.inner];
        if (has_indices) reinterpret_cast<std::int64_t*>(context.outputs[1].data)[to] = from;
      }
    });
  });
}

SplitResult split_top_k(const SplitContext& context) {
  return split_along(context, axis_attribute(context.node, -1, context.shape(0).rank()), false);
}

/// k became an input in opset 10.
void import_top_k(ImportContext& context) {
  if (context.opset < 10) attribute_to_input(context, "k", 1);
}

// ---- CumSum ----------------------------------------------------------------------------------

int constant_axis(const InferContext& context) {
  const std::vector<std::int64_t> axis = context.constant_ints(1);
  if (axis.size() != 1) fail(ErrorKind::kModel, "CumSum: {} axes", axis.size());
  return normalize_axis(axis[0], context.shape(0).rank());
}

std::vector<OutputType> infer_cum_sum(const InferContext& context) {
  check_type(context, 0, TypeSet::kNumeric);
  constant_axis(context);
  return infer_like_input(context);
}

void evaluate_cum_sum(const EvalContext& context) {
  const TensorView& x = context.inputs[0];
  const int axis = normalize_axis(ints_of(context.inputs[1]).at(0), x.shape.rank());
  const AxisView view = view_along(x.shape, axis);
  const bool exclusive = context.node.attributes.get_int("exclusive", 0) != 0;
  const bool reverse = context.node.attributes.get_int("reverse", 0) != 0;
  dispatch_in<TypeSet::kNumeric>(x.dtype, context.node, [&](auto tag) {
    using T = decltype(tag);
    using C = ComputeType<T>;
    // Floats in double; integers wrap around.
    using A = std::conditional_t<std::is_floating_point_v<C>, double, std::uint64_t>;
    const auto* data = reinterpret_cast<const T*>(x.data);
    auto* out = reinterpret_cast<T*>(context.outputs[0].data);
    for_each_line(view, context.team, [&](std::int64_t first, std::int64_t) {
      A sum{0};
      for (std::int64_t i = 0; i < view.size; ++i) {
        const std::int64_t at = first + (reverse ? view.size - 1 - i : i) * view.inner;
        const A before = sum;
        sum += static_cast<A>(load(data[at]));
        out[at] = static_cast<T>(static_cast<C>(exclusive ? before : sum));
      }
    });
  });
}

SplitResult split_cum_sum(const SplitContext& context) {
  return split_along(context, constant_axis(InferContext(context.graph, context.node)), false);
}

}  // namespace

const OpDef& op_arg_max() {
  static const OpDef kDef{.name = "ArgMax",
                          .infer = infer_arg,
                          .evaluate = evaluate_arg<true>,
                          .cost = cost_scan,
                          .split = split_arg};
  return kDef;
}

const OpDef& op_arg_min() {
  static const OpDef kDef{.name = "ArgMin",
                          .infer = infer_arg,
                          .evaluate = evaluate_arg<false>,
                          .cost = cost_scan,
                          .split = split_arg};
  return kDef;
}

const OpDef& op_top_k() {
  static const OpDef kDef{.name = "TopK",
                          .infer = infer_top_k,
                          .evaluate = evaluate_top_k,
                          .cost = cost_scan,
                          .split = split_top_k,
                          .import = import_top_k};
  return kDef;
}

const OpDef& op_cum_sum() {
  static const OpDef kDef{.name = "CumSum",
                          .infer = infer_cum_sum,
                          .evaluate = evaluate_cum_sum,
                          .cost = cost_scan,
                          .split = split_cum_sum};
  return kDef;
}

}  // namespace gacer
