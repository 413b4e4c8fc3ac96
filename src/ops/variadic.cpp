#include <algorithm>

#include "ops/elementwise.h"

// Max, Min, Sum and Mean of any number of operands with broadcasting: folded from the left.
namespace gacer {
namespace {

struct Larger {
  static constexpr TypeSet kTypes = TypeSet::kNumeric;
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T a, T b) const {
    const bool takes_b = (a < b) | (b != b);  // NaN wins
    return takes_b ? b : a;
  }
};

struct Smaller {
  static constexpr TypeSet kTypes = TypeSet::kNumeric;
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T a, T b) const {
    const bool takes_b = (a > b) | (b != b);
    return takes_b ? b : a;
  }
};

struct Plus {
  static constexpr TypeSet kTypes = TypeSet::kFloat;
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T a, T b) const {
    return a + b;
  }
};

struct Same {
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T x) const {
    return x;
  }
};

template <typename T>
struct Scale {
  T factor;
  GACER_ALWAYS_INLINE T operator()(T x) const { return x * factor; }
};

template <typename Op>
std::vector<OutputType> infer(const InferContext& context) {
  if (context.num_inputs() < 1) fail(ErrorKind::kModel, "no input");
  check_type(context, 0, Op::kTypes);
  check_same_types(context, 0, context.num_inputs());
  return {{context.dtype(0), broadcast_inputs(context)}};
}

template <typename Op, bool kIsMean>
void evaluate(const EvalContext& context) {
  const TensorView& out = context.outputs[0];
  const auto count = static_cast<std::size_t>(context.node.num_op_inputs);
  dispatch_in<Op::kTypes>(out.dtype, context.node, [&](auto tag) {
    using T = decltype(tag);
    if (count == 1) {
      for_each_row(context.inputs.first(1), out, context.team,
                   [](const Row& row) { unary_row<T, T>(row, Same{}); });
    }
    for (std::size_t i = 1; i < count; ++i) {
      const TensorView pair[2] = {i == 1 ? context.inputs[0] : out, context.inputs[i]};
      for_each_row(pair, out, context.team, [](const Row& row) { binary_row<T, T>(row, Op{}); });
    }
    if constexpr (kIsMean) {
      using C = ComputeType<T>;
      const Scale<C> scale{C{1} / static_cast<C>(count)};
      for_each_row({&out, 1}, out, context.team,
                   [&](const Row& row) { unary_row<T, T>(row, scale); });
    }
  });
}

template <typename Op, bool kIsMean = false>
const OpDef& variadic_op(std::string_view name) {
  static const OpDef kDef{.name = name,
                          .infer = infer<Op>,
                          .evaluate = evaluate<Op, kIsMean>,
                          .cost = pointwise_cost,
                          .split = split_pointwise,
                          .is_pointwise = true};
  return kDef;
}

}  // namespace

const OpDef& op_max() { return variadic_op<Larger>("Max"); }
const OpDef& op_min() { return variadic_op<Smaller>("Min"); }
const OpDef& op_sum() { return variadic_op<Plus>("Sum"); }
const OpDef& op_mean() { return variadic_op<Plus, true>("Mean"); }

}  // namespace gacer
