#include <cmath>

#include "ops/elementwise.h"

// Activations of one operand, with constant parameters; PRelu, whose slope is an operand; Clip.
namespace gacer {
namespace {

namespace vm = vector_math;

GACER_ALWAYS_INLINE float fast_exp(float x) { return vm::exp(x); }
GACER_ALWAYS_INLINE double fast_exp(double x) { return std::exp(x); }

struct Relu {
  static constexpr TypeSet kTypes = TypeSet::kNumeric;
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T x) const {
    return x < T{0} ? T{0} : x;
  }
};

struct LeakyRelu {
  static constexpr TypeSet kTypes = TypeSet::kFloat;
  float alpha;
  static LeakyRelu from(const Node& node) { return {node.attributes.get_float("alpha", 0.01f)}; }
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T x) const {
    const T scaled = static_cast<T>(alpha) * x;
    return x < T{0} ? scaled : x;
  }
};

struct Sigmoid {
  static constexpr TypeSet kTypes = TypeSet::kFloat;
  GACER_ALWAYS_INLINE float operator()(float x) const { return vm::sigmoid(x); }
  double operator()(double x) const { return 1.0 / (1.0 + std::exp(-x)); }
};

struct HardSigmoid {
  static constexpr TypeSet kTypes = TypeSet::kFloat;
  float alpha;
  float beta;
  static HardSigmoid from(const Node& node) {
    return {node.attributes.get_float("alpha", 0.2f), node.attributes.get_float("beta", 0.5f)};
  }
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T x) const {
    const T y = static_cast<T>(alpha) * x + static_cast<T>(beta);
    const T capped = y > T{1} ? T{1} : y;
    return capped < T{0} ? T{0} : capped;
  }
};

struct Elu {
  static constexpr TypeSet kTypes = TypeSet::kFloat;
  float alpha;
  static Elu from(const Node& node) { return {node.attributes.get_float("alpha", 1.0f)}; }
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T x) const {
    const T below = static_cast<T>(alpha) * (fast_exp(x) - T{1});
    return x < T{0} ? below : x;
  }
};

struct Selu {
  static constexpr TypeSet kTypes = TypeSet::kFloat;
  float alpha;
  float gamma;
  static Selu from(const Node& node) {
    return {node.attributes.get_float("alpha", 1.67326319217681884765625f),
            node.attributes.get_float("gamma", 1.05070102214813232421875f)};
  }
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T x) const {
    const T below = static_cast<T>(alpha) * (fast_exp(x) - T{1});
    return static_cast<T>(gamma) * (x < T{0} ? below : x);
  }
};

struct Celu {
  static constexpr TypeSet kTypes = TypeSet::kFloat;
  float alpha;
  static Celu from(const Node& node) { return {node.attributes.get_float("alpha", 1.0f)}; }
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T x) const {
    const T a = static_cast<T>(alpha);
    const T below = a * (fast_exp(x / a) - T{1});
    return x < T{0} ? below : x;
  }
};

struct ThresholdedRelu {
  static constexpr TypeSet kTypes = TypeSet::kFloat;
  float alpha;
  static ThresholdedRelu from(const Node& node) {
    return {node.attributes.get_float("alpha", 1.0f)};
  }
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T x) const {
    return x > static_cast<T>(alpha) ? x : T{0};
  }
};

GACER_ALWAYS_INLINE float softplus(float x) { return vm::softplus(x); }
double softplus(double x) { return (x > 0 ? x : 0.0) + std::log1p(std::exp(-std::fabs(x))); }

struct Softplus {
  static constexpr TypeSet kTypes = TypeSet::kFloat;
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T x) const {
    return softplus(x);
  }
};

struct Softsign {
  static constexpr TypeSet kTypes = TypeSet::kFloat;
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T x) const {
    return x / (T{1} + std::fabs(x));
  }
};

struct Mish {
  static constexpr TypeSet kTypes = TypeSet::kFloat;
  GACER_ALWAYS_INLINE float operator()(float x) const { return x * vm::tanh(vm::softplus(x)); }
  double operator()(double x) const { return x * std::tanh(softplus(x)); }
};

struct PreluFunctor {
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T x, T slope) const {
    const T scaled = static_cast<T>(x * slope);
    return x < T{0} ? scaled : x;
  }
};

std::vector<OutputType> infer_prelu(const InferContext& context) {
  check_type(context, 0, TypeSet::kNumeric);
  check_same_types(context, 0, 2);
  if (broadcast_inputs(context) != context.shape(0)) {
    fail(ErrorKind::kModel, "PRelu: slope of shape {} does not broadcast to {}",
         context.shape(1).to_string(), context.shape(0).to_string());
  }
  return {{context.dtype(0), context.shape(0)}};
}

void evaluate_prelu(const EvalContext& context) {
  dispatch_in<TypeSet::kNumeric>(context.inputs[0].dtype, context.node, [&](auto tag) {
    using T = decltype(tag);
    for_each_row(context.inputs.first(2), context.outputs[0], context.team,
                 [&](const Row& row) { binary_row<T, T>(row, PreluFunctor{}); });
  });
}

template <typename C>
struct ClipFunctor {
  C low;
  C high;
  GACER_ALWAYS_INLINE C operator()(C x) const {
    const C raised = x < low ? low : x;
    return raised > high ? high : raised;
  }
};

std::vector<OutputType> infer_clip(const InferContext& context) {
  check_type(context, 0, TypeSet::kNumeric);
  for (int i = 1; i < 3; ++i) {
    if (!context.has_input(i)) continue;
    if (context.shape(i).num_elements() != 1 || context.dtype(i) != context.dtype(0)) {
      fail(ErrorKind::kModel, "Clip: bound {} has type {} and shape {}, expected a scalar of {}", i,
           to_string(context.dtype(i)), context.shape(i).to_string(), to_string(context.dtype(0)));
    }
  }
  return {{context.dtype(0), context.shape(0)}};
}

void evaluate_clip(const EvalContext& context) {
  dispatch_in<TypeSet::kNumeric>(context.inputs[0].dtype, context.node, [&](auto tag) {
    using T = decltype(tag);
    using C = ComputeType<T>;
    ClipFunctor<C> op{std::numeric_limits<C>::lowest(), std::numeric_limits<C>::max()};
    if constexpr (std::is_floating_point_v<C>) {
      op.low = -std::numeric_limits<C>::infinity();
      op.high = std::numeric_limits<C>::infinity();
    }
    if (context.has_input(1)) op.low = load(*reinterpret_cast<const T*>(context.inputs[1].data));
    if (context.has_input(2)) op.high = load(*reinterpret_cast<const T*>(context.inputs[2].data));
    for_each_row(context.inputs.first(1), context.outputs[0], context.team,
                 [&](const Row& row) { unary_row<T, T>(row, op); });
  });
}

SplitResult split_clip(const SplitContext& context) { return split_keep_axis(context, {}); }

/// Before opset 11 the bounds were attributes.
void import_clip(ImportContext& context) {
  constexpr std::array<const char*, 2> kBounds = {"min", "max"};
  if (context.opset >= 11) return;
  const DType dtype = context.graph.value(context.node.inputs.at(0)).dtype;
  for (int i = 0; i < 2; ++i) {
    const char* name = kBounds[static_cast<std::size_t>(i)];
    if (!context.node.attributes.has(name)) continue;
    Tensor bound(dtype, Shape{});
    dispatch_dtype(dtype, [&](auto tag) {
      using T = decltype(tag);
      bound.mutable_data<T>()[0] = static_cast<T>(context.node.attributes.get_float(name, 0));
    });
    context.node.attributes.erase(name);
    set_input(context, i + 1,
              context.graph.add_constant(fmt::format("{}:{}", context.node.name, name), bound));
  }
}

/// Before opset 7 a slope of one number a channel was written without its trailing axes.
void import_prelu(ImportContext& context) {
  if (context.opset < 7) align_operand(context, /*axis=*/1);
}

}  // namespace

const OpDef& op_celu() { return unary_op<Celu>("Celu"); }
const OpDef& op_elu() { return unary_op<Elu>("Elu"); }
const OpDef& op_hard_sigmoid() { return unary_op<HardSigmoid>("HardSigmoid"); }
const OpDef& op_leaky_relu() { return unary_op<LeakyRelu>("LeakyRelu"); }
const OpDef& op_mish() { return unary_op<Mish>("Mish"); }
const OpDef& op_relu() { return unary_op<Relu>("Relu"); }
const OpDef& op_selu() { return unary_op<Selu>("Selu"); }
const OpDef& op_sigmoid() { return unary_op<Sigmoid>("Sigmoid"); }
const OpDef& op_softplus() { return unary_op<Softplus>("Softplus"); }
const OpDef& op_softsign() { return unary_op<Softsign>("Softsign"); }
const OpDef& op_thresholded_relu() { return unary_op<ThresholdedRelu>("ThresholdedRelu"); }

const OpDef& op_prelu() {
  static const OpDef kDef{.name = "PRelu",
                          .infer = infer_prelu,
                          .evaluate = evaluate_prelu,
                          .cost = pointwise_cost,
                          .split = split_pointwise,
                          .import = import_prelu,
                          .is_pointwise = true};
  return kDef;
}

const OpDef& op_clip() {
  static const OpDef kDef{.name = "Clip",
                          .infer = infer_clip,
                          .evaluate = evaluate_clip,
                          .cost = pointwise_cost,
                          .split = split_clip,
                          .import = import_clip,
                          .is_pointwise = true};
  return kDef;
}

}  // namespace gacer
