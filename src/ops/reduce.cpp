#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ops/cast.h"
#include "ops/data_movement.h"
#include "ops/elementwise.h"

// ReduceSum and its relatives. The data is seen as [outer, reduced, inner]; reduced axes that are
// not neighbours are brought together by a transposed copy first.
namespace gacer {
namespace {

/// Axes to reduce, ascending. None given means all, or none with noop_with_empty_axes.
std::vector<int> axes_of(const Node& node, const std::vector<std::int64_t>& given, int rank) {
  if (!given.empty()) return normalize_axes(given, rank);
  std::vector<int> axes;
  if (node.attributes.get_int("noop_with_empty_axes", 0) != 0) return axes;
  axes.resize(static_cast<std::size_t>(rank));
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

std::vector<int> constant_axes(const InferContext& context) {
  return axes_of(context.node(),
                 context.has_input(1) ? context.constant_ints(1) : std::vector<std::int64_t>{},
                 context.shape(0).rank());
}

bool contains_axis(const std::vector<int>& axes, int axis) {
  return std::find(axes.begin(), axes.end(), axis) != axes.end();
}

/// The largest and the smallest of booleans are "any" and "all".
bool takes_bool(const Node& node) { return node.op == "ReduceMax" || node.op == "ReduceMin"; }

std::vector<OutputType> infer(const InferContext& context) {
  if (context.dtype(0) != DType::kBool || !takes_bool(context.node()))
    check_type(context, 0, TypeSet::kNumeric);
  const std::vector<int> axes = constant_axes(context);
  const bool keeps = context.node().attributes.get_int("keepdims", 1) != 0;
  std::vector<std::int64_t> dims;
  for (int axis = 0; axis < context.shape(0).rank(); ++axis) {
    if (!contains_axis(axes, axis))
      dims.push_back(context.shape(0)[axis]);
    else if (keeps)
      dims.push_back(1);
  }
  return {{context.dtype(0), Shape(std::move(dims))}};
}

SplitResult split(const SplitContext& context) {
  if (auto only = only_batched(context, {0}); !only) return Refusal{only.reason()};
  const std::vector<int> axes = constant_axes(InferContext(context.graph, context.node));
  BatchAxis batch = *context.inputs[0];
  if (contains_axis(axes, batch.axis)) return refuse("the batch's axis {} is reduced", batch.axis);
  if (context.node.attributes.get_int("keepdims", 1) == 0)
    batch.axis -= static_cast<int>(
        std::count_if(axes.begin(), axes.end(), [&](int axis) { return axis < batch.axis; }));
  return all_outputs(context, batch);
}

Cost cost(const Graph& graph, const Node& node) {
  return {.flop = static_cast<double>(graph.value(node.inputs[0]).shape.num_elements()),
          .bytes = operand_bytes(graph, node)};
}

/// Before opset 18 (ReduceSum: 13) the axes were an attribute.
void import_reduce(ImportContext& context) {
  if (context.opset < 18) attribute_to_input(context, "axes", 1);
}

// ---- what is reduced -------------------------------------------------------------------------

// Sums and products of floats are taken in double, of integers in 64 bits.
template <typename T>
using WideType = std::conditional_t<
    std::is_floating_point_v<ComputeType<T>>, double,
    std::conditional_t<std::is_signed_v<ComputeType<T>>, std::int64_t, std::uint64_t>>;

struct SumReducer {
  template <typename T>
  using Acc = WideType<T>;
  template <typename A>
  static constexpr A initial() {
    return A{0};
  }
  template <typename A>
  GACER_ALWAYS_INLINE static A map(A x) {
    return x;
  }
  template <typename A>
  GACER_ALWAYS_INLINE static A combine(A a, A b) {
    if constexpr (std::is_integral_v<A>)  // wraps around
      return static_cast<A>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
    else
      return a + b;
  }
  template <typename A>
  static A finish(A sum, std::int64_t) {
    return sum;
  }
};

struct MeanReducer : SumReducer {
  template <typename A>
  static A finish(A sum, std::int64_t count) {
    if constexpr (std::is_integral_v<A>)
      return count == 0 ? A{0} : sum / static_cast<A>(count);
    else
      return sum / static_cast<A>(count);
  }
};

struct L1Reducer : SumReducer {
  template <typename A>
  GACER_ALWAYS_INLINE static A map(A x) {
    return x < A{0} ? A{0} - x : x;
  }
};

struct SumSquareReducer : SumReducer {
  template <typename A>
  GACER_ALWAYS_INLINE static A map(A x) {
    if constexpr (std::is_integral_v<A>)
      return static_cast<A>(static_cast<std::uint64_t>(x) * static_cast<std::uint64_t>(x));
    else
      return x * x;
  }
};

struct L2Reducer : SumSquareReducer {
  template <typename A>
  static A finish(A sum, std::int64_t) {
    return static_cast<A>(std::sqrt(static_cast<double>(sum)));
  }
};

struct LogSumReducer : SumReducer {
  template <typename A>
  static A finish(A sum, std::int64_t) {
    return static_cast<A>(std::log(static_cast<double>(sum)));
  }
};

struct ProdReducer : SumReducer {
  template <typename A>
  static constexpr A initial() {
    return A{1};
  }
  template <typename A>
  GACER_ALWAYS_INLINE static A combine(A a, A b) {
    if constexpr (std::is_integral_v<A>)
      return static_cast<A>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
    else
      return a * b;
  }
};

struct MaxReducer : SumReducer {
  template <typename T>
  using Acc = ComputeType<T>;
  template <typename A>
  static constexpr A initial() {
    if constexpr (std::is_floating_point_v<A>)
      return -std::numeric_limits<A>::infinity();
    else
      return std::numeric_limits<A>::lowest();
  }
  template <typename A>
  GACER_ALWAYS_INLINE static A combine(A a, A b) {
    const bool takes_b = (a < b) | (b != b);  // NaN wins
    return takes_b ? b : a;
  }
};

struct MinReducer : MaxReducer {
  template <typename A>
  static constexpr A initial() {
    if constexpr (std::is_floating_point_v<A>)
      return std::numeric_limits<A>::infinity();
    else
      return std::numeric_limits<A>::max();
  }
  template <typename A>
  GACER_ALWAYS_INLINE static A combine(A a, A b) {
    const bool takes_b = (b < a) | (b != b);
    return takes_b ? b : a;
  }
};

// ---- loops -----------------------------------------------------------------------------------

/// Accumulates `rows` rows of `columns` elements, `stride` apart, into one row.
template <typename R, typename T, typename A>
GACER_ALWAYS_INLINE void rows_body(const T* x, std::int64_t rows, std::int64_t stride, A* acc,
                                   std::int64_t columns) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const T* line = x + row * stride;
#pragma GCC ivdep
    for (std::int64_t i = 0; i < columns; ++i)
      acc[i] = R::combine(acc[i], R::map(static_cast<A>(load(line[i]))));
  }
}

template <typename R, typename T, typename A>
GACER_TARGET_AVX2 void rows_avx2(const T* x, std::int64_t rows, std::int64_t stride, A* acc,
                                 std::int64_t columns) {
  rows_body<R>(x, rows, stride, acc, columns);
}

template <typename R, typename T, typename A>
void accumulate_rows(const T* x, std::int64_t rows, std::int64_t stride, A* acc,
                     std::int64_t columns) {
  if constexpr (std::is_same_v<T, float>) {
    if (has_avx2()) return rows_avx2<R>(x, rows, stride, acc, columns);
  }
  rows_body<R>(x, rows, stride, acc, columns);
}

/// One contiguous run, by a few independent partial results.
template <typename R, typename T, typename A>
A reduce_run(const T* x, std::int64_t count) {
  constexpr std::int64_t kLanes = 32;
  std::array<A, kLanes> lanes;
  lanes.fill(R::template initial<A>());
  accumulate_rows<R>(x, count / kLanes, kLanes, lanes.data(), kLanes);
  for (std::size_t half = kLanes / 2; half > 0; half /= 2)
    for (std::size_t i = 0; i < half; ++i) lanes[i] = R::combine(lanes[i], lanes[i + half]);
  A result = lanes[0];
  for (std::int64_t i = count / kLanes * kLanes; i < count; ++i)
    result = R::combine(result, R::map(static_cast<A>(load(x[i]))));
  return result;
}

template <typename R, typename T>
void reduce_view(const T* x, T* y, const AxisView& view, Team& team) {
  using A = typename R::template Acc<T>;
  using C = ComputeType<T>;
  constexpr std::int64_t kBlock = 512;  // columns accumulated at a time
  const auto finish = [&](A value) {
    return static_cast<T>(static_cast<C>(R::finish(value, view.size)));
  };
  const std::int64_t blocks = (view.inner + kBlock - 1) / kBlock;
  const std::int64_t work = std::max<std::int64_t>(1, view.size * std::min(view.inner, kBlock));
  team.parallel_for(view.outer * blocks, (1 << 15) / work + 1,
                    [&](std::int64_t begin, std::int64_t end) {
                      std::array<A, kBlock> acc;
                      for (std::int64_t i = begin; i < end; ++i) {
                        const std::int64_t column = i % blocks * kBlock;
                        const T* source = x + i / blocks * view.size * view.inner + column;
                        T* target = y + i / blocks * view.inner + column;
                        if (view.inner == 1) {
                          *target = finish(reduce_run<R, T, A>(source, view.size));
                          continue;
                        }
                        const std::int64_t columns = std::min(kBlock, view.inner - column);
                        std::fill_n(acc.begin(), columns, R::template initial<A>());
                        accumulate_rows<R>(source, view.size, view.inner, acc.data(), columns);
                        for (std::int64_t k = 0; k < columns; ++k)
                          target[k] = finish(acc[static_cast<std::size_t>(k)]);
                      }
                    });
}

/// log(sum(exp(x))), by the largest element.
template <typename T>
void log_sum_exp_view(const T* x, T* y, const AxisView& view, Team& team) {
  team.parallel_for(
      view.outer * view.inner, (1 << 12) / std::max<std::int64_t>(1, view.size) + 1,
      [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const T* line = x + i / view.inner * view.size * view.inner + i % view.inner;
          double largest = -std::numeric_limits<double>::infinity();
          for (std::int64_t k = 0; k < view.size; ++k)
            largest = std::max(largest, static_cast<double>(load(line[k * view.inner])));
          const double shift = std::isfinite(largest) ? largest : 0.0;
          double sum = 0;
          for (std::int64_t k = 0; k < view.size; ++k)
            sum += std::exp(static_cast<double>(load(line[k * view.inner])) - shift);
          y[i] = static_cast<T>(static_cast<ComputeType<T>>(std::log(sum) + shift));
        }
      });
}

struct LogSumExpReducer {};

/// The input as [outer, reduced, inner]; `storage` holds the transposed copy when one is needed.
std::pair<TensorView, AxisView> arrange(const EvalContext& context, Tensor& storage) {
  const TensorView& x = context.inputs[0];
  const std::vector<int> axes = axes_of(
      context.node, context.has_input(1) ? ints_of(context.inputs[1]) : std::vector<std::int64_t>{},
      x.shape.rank());
  const int rank = x.shape.rank();
  if (axes.empty()) return {x, {.outer = x.num_elements(), .size = 1, .inner = 1}};
  if (axes.back() - axes.front() + 1 == static_cast<int>(axes.size())) {
    return {x,
            {.outer = product(x.shape, 0, axes.front()),
             .size = product(x.shape, axes.front(), axes.back() + 1),
             .inner = product(x.shape, axes.back() + 1, rank)}};
  }
  BoxCopy box;
  AxisView view;
  for (bool reduced : {false, true}) {
    for (int axis = 0; axis < rank; ++axis) {
      if (contains_axis(axes, axis) != reduced) continue;
      box.dims.push_back(x.shape[axis]);
      box.from_strides.push_back(x.strides[static_cast<std::size_t>(axis)]);
      (reduced ? view.size : view.outer) *= x.shape[axis];
    }
  }
  box.to_strides = Shape(box.dims).row_major_strides();
  storage = Tensor(x.dtype, Shape(box.dims));
  const TensorView copy = TensorView::of(storage);
  copy_box(x, copy, std::move(box), context.team);
  return {copy, view};
}

/// Smaller types are widened first: what is computed is the same, and each reducer is compiled for
/// four types, not for twelve.
DType wide_type(DType dtype) {
  if (dtype == DType::kF64) return dtype;
  if (is_float(dtype)) return DType::kF32;
  const bool is_signed =
      dtype == DType::kI8 || dtype == DType::kI16 || dtype == DType::kI32 || dtype == DType::kI64;
  return is_signed ? DType::kI64 : DType::kU64;
}

template <typename R, typename T>
void reduce_as(const TensorView& x, const TensorView& y, const AxisView& view, Team& team) {
  const auto* from = reinterpret_cast<const T*>(x.data);
  auto* to = reinterpret_cast<T*>(y.data);
  if constexpr (std::is_same_v<R, LogSumExpReducer>)
    log_sum_exp_view(from, to, view, team);
  else
    reduce_view<R>(from, to, view, team);
}

template <typename R>
void reduce_wide(const TensorView& x, const TensorView& y, const AxisView& view, Team& team) {
  switch (x.dtype) {
    case DType::kF32:
      return reduce_as<R, float>(x, y, view, team);
    case DType::kF64:
      return reduce_as<R, double>(x, y, view, team);
    case DType::kI64:
      return reduce_as<R, std::int64_t>(x, y, view, team);
    case DType::kU64:
      return reduce_as<R, std::uint64_t>(x, y, view, team);
    default:
      fail(ErrorKind::kInternal, "{} is no type that is reduced in", to_string(x.dtype));
  }
}

template <typename R>
void evaluate(const EvalContext& context) {
  Tensor storage;
  const auto [x, view] = arrange(context, storage);
  const TensorView& y = context.outputs[0];
  const DType wide = wide_type(x.dtype);
  if (wide == x.dtype) return reduce_wide<R>(x, y, view, context.team);
  Tensor wide_x(wide, x.shape);
  Tensor wide_y(wide, y.shape);
  const TensorView from = TensorView::of(wide_x);
  const TensorView to = TensorView::of(wide_y);
  cast_elements(x, from, context.team);
  reduce_wide<R>(from, to, view, context.team);
  if constexpr (std::is_base_of_v<MaxReducer, R>) {
    // The largest and the smallest of no number are the ends of the narrow type.
    if (view.size == 0 && wide == DType::kI64)
      for (std::int64_t& value : to.flat<std::int64_t>()) value >>= 64 - 8 * size_of(x.dtype);
  }
  cast_elements(to, y, context.team);
}

template <typename R>
const OpDef& reduce_op(std::string_view name) {
  static const OpDef kDef{.name = name,
                          .infer = infer,
                          .evaluate = evaluate<R>,
                          .cost = cost,
                          .split = split,
                          .import = import_reduce};
  return kDef;
}

}  // namespace

const OpDef& op_reduce_l1() { return reduce_op<L1Reducer>("ReduceL1"); }
const OpDef& op_reduce_l2() { return reduce_op<L2Reducer>("ReduceL2"); }
const OpDef& op_reduce_log_sum() { return reduce_op<LogSumReducer>("ReduceLogSum"); }
const OpDef& op_reduce_log_sum_exp() { return reduce_op<LogSumExpReducer>("ReduceLogSumExp"); }
const OpDef& op_reduce_max() { return reduce_op<MaxReducer>("ReduceMax"); }
const OpDef& op_reduce_mean() { return reduce_op<MeanReducer>("ReduceMean"); }
const OpDef& op_reduce_min() { return reduce_op<MinReducer>("ReduceMin"); }
const OpDef& op_reduce_prod() { return reduce_op<ProdReducer>("ReduceProd"); }
const OpDef& op_reduce_sum() { return reduce_op<SumReducer>("ReduceSum"); }
const OpDef& op_reduce_sum_square() { return reduce_op<SumSquareReducer>("ReduceSumSquare"); }

}  // namespace gacer
