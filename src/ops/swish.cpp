#include <cmath>

#include "ops/common.h"
#include "ops/elementwise.h"

// Gelu, HardSwish and x * sigmoid(x): ONNX's Swish (with a factor) and Silu, which passes make.
namespace gacer {
namespace {

namespace vm = vector_math;

struct Silu {
  static constexpr TypeSet kTypes = TypeSet::kFloat;
  float alpha;
  static Silu from(const Node& node) { return {node.attributes.get_float("alpha", 1.0F)}; }
  GACER_ALWAYS_INLINE float operator()(float x) const { return x * vm::sigmoid(alpha * x); }
  double operator()(double x) const {
    return x / (1.0 + std::exp(-static_cast<double>(alpha) * x));
  }
};

struct HardSwish {
  static constexpr TypeSet kTypes = TypeSet::kFloat;
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T x) const {
    const T y = x / T{6} + T{0.5};
    const T capped = y > T{1} ? T{1} : y;
    return x * (capped < T{0} ? T{0} : capped);
  }
};

struct ExactGelu {
  static constexpr TypeSet kTypes = TypeSet::kFloat;
  GACER_ALWAYS_INLINE float operator()(float x) const {
    return 0.5F * x * (1.0F + vm::erf(x * 0.70710678118654752F));
  }
  double operator()(double x) const { return 0.5 * x * (1.0 + std::erf(x * std::sqrt(0.5))); }
};

struct TanhGelu {
  static constexpr TypeSet kTypes = TypeSet::kFloat;
  GACER_ALWAYS_INLINE float operator()(float x) const {
    return 0.5F * x * (1.0F + vm::tanh(0.79788456080286536F * (x + 0.044715F * x * x * x)));
  }
  double operator()(double x) const {
    return 0.5 * x * (1.0 + std::tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
  }
};

bool is_tanh(const Node& node) {
  const std::string approximate = node.attributes.get_string("approximate", "none");
  if (approximate != "none" && approximate != "tanh")
    fail(ErrorKind::kModel, "approximate is '{}'", approximate);
  return approximate == "tanh";
}

std::vector<OutputType> infer_gelu(const InferContext& context) {
  is_tanh(context.node());
  return infer_unary<ExactGelu>(context);
}

void evaluate_gelu(const EvalContext& context) {
  if (is_tanh(context.node))
    evaluate_unary<TanhGelu>(context);
  else
    evaluate_unary<ExactGelu>(context);
}

Cost cost(const Graph& graph, const Node& node) {
  return {8 * output_elements(graph, node), operand_bytes(graph, node)};
}

}  // namespace

const OpDef& op_gelu() {
  static const OpDef def{.name = "Gelu",
                         .min_opset = 20,
                         .infer = infer_gelu,
                         .evaluate = evaluate_gelu,
                         .cost = cost,
                         .split = split_pointwise,
                         .is_pointwise = true};
  return def;
}

const OpDef& op_hard_swish() {
  static const OpDef def{.name = "HardSwish",
                         .min_opset = 14,
                         .infer = infer_unary<HardSwish>,
                         .evaluate = evaluate_unary<HardSwish>,
                         .cost = cost,
                         .split = split_pointwise,
                         .is_pointwise = true};
  return def;
}

const OpDef& op_silu() {
  static const OpDef def{.name = "Silu",
                         .domain = "gacer",
                         .infer = infer_unary<Silu>,
                         .evaluate = evaluate_unary<Silu>,
                         .cost = cost,
                         .split = split_pointwise,
                         .is_pointwise = true};
  return def;
}

const OpDef& op_swish() {
  static const OpDef def{.name = "Swish",
                         .min_opset = 24,
                         .infer = infer_unary<Silu>,
                         .evaluate = evaluate_unary<Silu>,
                         .cost = cost,
                         .split = split_pointwise,
                         .is_pointwise = true};
  return def;
}

}  // namespace gacer
