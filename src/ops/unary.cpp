#include <cmath>
#include <cstring>
#include <limits>

#include "ops/elementwise.h"

// Operators of one operand, element by element, that differ in nothing but their function.
namespace gacer {
namespace {

// A functor that applies a function of <cmath> (in double for double, in float for the others).
#define GACER_MATH_FUNCTOR(Name, expression)           \
  struct Name {                                        \
    static constexpr TypeSet kTypes = TypeSet::kFloat; \
    template <typename T>                              \
    GACER_ALWAYS_INLINE T operator()(T x) const {      \
      return expression;                               \
    }                                                  \
  }

GACER_MATH_FUNCTOR(Acos, std::acos(x));
GACER_MATH_FUNCTOR(Acosh, std::acosh(x));
GACER_MATH_FUNCTOR(Asin, std::asin(x));
GACER_MATH_FUNCTOR(Asinh, std::asinh(x));
GACER_MATH_FUNCTOR(Atan, std::atan(x));
GACER_MATH_FUNCTOR(Atanh, std::atanh(x));
GACER_MATH_FUNCTOR(Ceil, std::ceil(x));
GACER_MATH_FUNCTOR(Cos, std::cos(x));
GACER_MATH_FUNCTOR(Cosh, std::cosh(x));
GACER_MATH_FUNCTOR(Floor, std::floor(x));
GACER_MATH_FUNCTOR(Log, std::log(x));
GACER_MATH_FUNCTOR(Reciprocal, T{1} / x);
GACER_MATH_FUNCTOR(Round, std::nearbyint(x));  // halves go to the even neighbour
GACER_MATH_FUNCTOR(Sin, std::sin(x));
GACER_MATH_FUNCTOR(Sinh, std::sinh(x));
GACER_MATH_FUNCTOR(Sqrt, std::sqrt(x));
GACER_MATH_FUNCTOR(Tan, std::tan(x));
#undef GACER_MATH_FUNCTOR

// A functor with a vectorisable float form.
#define GACER_FAST_FUNCTOR(Name, function)                                                   \
  struct Name {                                                                              \
    static constexpr TypeSet kTypes = TypeSet::kFloat;                                       \
    GACER_ALWAYS_INLINE float operator()(float x) const { return vector_math::function(x); } \
    double operator()(double x) const { return std::function(x); }                           \
  }

GACER_FAST_FUNCTOR(Erf, erf);
GACER_FAST_FUNCTOR(Exp, exp);
GACER_FAST_FUNCTOR(Tanh, tanh);
#undef GACER_FAST_FUNCTOR

struct Abs {
  static constexpr TypeSet kTypes = TypeSet::kNumeric;
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T x) const {
    if constexpr (std::is_unsigned_v<T>)
      return x;
    else if constexpr (std::is_floating_point_v<T>)
      return std::fabs(x);
    else
      return static_cast<T>(x < 0 ? Negate<T>::of(x) : x);
  }
  // Through unsigned numbers: the lowest integer has no negative.
  template <typename T>
  struct Negate {
    static T of(T x) { return static_cast<T>(std::uint64_t{0} - static_cast<std::uint64_t>(x)); }
  };
};

struct Neg {
  static constexpr TypeSet kTypes = TypeSet::kNumeric;
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T x) const {
    if constexpr (std::is_floating_point_v<T>)
      return -x;
    else
      return Abs::Negate<T>::of(x);
  }
};

struct Sign {
  static constexpr TypeSet kTypes = TypeSet::kNumeric;
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T x) const {
    return static_cast<T>((x > T{0} ? 1 : 0) - (x < T{0} ? 1 : 0));
  }
};

struct Not {
  static constexpr TypeSet kTypes = TypeSet::kBool;
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T x) const {
    return !x;
  }
};

// Tests of one float: bool outputs.
struct IsNan {
  template <typename T>
  GACER_ALWAYS_INLINE bool operator()(T x) const {
    return x != x;
  }
};

struct IsInf {
  bool positive = true;
  bool negative = true;
  static IsInf from(const Node& node) {
    return {.positive = node.attributes.get_int("detect_positive", 1) != 0,
            .negative = node.attributes.get_int("detect_negative", 1) != 0};
  }
  template <typename T>
  GACER_ALWAYS_INLINE bool operator()(T x) const {
    constexpr T kInf = std::numeric_limits<T>::infinity();
    return (positive && x == kInf) || (negative && x == -kInf);
  }
};

std::vector<OutputType> infer_test(const InferContext& context) {
  check_type(context, 0, TypeSet::kFloat);
  return {{DType::kBool, context.shape(0)}};
}

template <typename Op>
void evaluate_test(const EvalContext& context) {
  const Op op = make_functor<Op>(context.node);
  dispatch_in<TypeSet::kFloat>(context.inputs[0].dtype, context.node, [&](auto tag) {
    for_each_row(context.inputs.first(1), context.outputs[0], context.team,
                 [&](const Row& row) { unary_row<decltype(tag), bool>(row, op); });
  });
}

template <typename Op>
const OpDef& test_op(std::string_view name) {
  static const OpDef kDef{.name = name,
                          .infer = infer_test,
                          .evaluate = evaluate_test<Op>,
                          .cost = pointwise_cost,
                          .split = split_pointwise,
                          .is_pointwise = true};
  return kDef;
}

}  // namespace

const OpDef& op_abs() { return unary_op<Abs>("Abs"); }
const OpDef& op_acos() { return unary_op<Acos>("Acos"); }
const OpDef& op_acosh() { return unary_op<Acosh>("Acosh"); }
const OpDef& op_asin() { return unary_op<Asin>("Asin"); }
const OpDef& op_asinh() { return unary_op<Asinh>("Asinh"); }
const OpDef& op_atan() { return unary_op<Atan>("Atan"); }
const OpDef& op_atanh() { return unary_op<Atanh>("Atanh"); }
const OpDef& op_ceil() { return unary_op<Ceil>("Ceil"); }
const OpDef& op_cos() { return unary_op<Cos>("Cos"); }
const OpDef& op_cosh() { return unary_op<Cosh>("Cosh"); }
const OpDef& op_erf() { return unary_op<Erf>("Erf"); }
const OpDef& op_exp() { return unary_op<Exp>("Exp"); }
const OpDef& op_floor() { return unary_op<Floor>("Floor"); }
const OpDef& op_is_inf() { return test_op<IsInf>("IsInf"); }
const OpDef& op_is_nan() { return test_op<IsNan>("IsNaN"); }
const OpDef& op_log() { return unary_op<Log>("Log"); }
const OpDef& op_neg() { return unary_op<Neg>("Neg"); }
const OpDef& op_not() { return unary_op<Not>("Not"); }
const OpDef& op_reciprocal() { return unary_op<Reciprocal>("Reciprocal"); }
const OpDef& op_round() { return unary_op<Round>("Round"); }
const OpDef& op_sign() { return unary_op<Sign>("Sign"); }
const OpDef& op_sin() { return unary_op<Sin>("Sin"); }
const OpDef& op_sinh() { return unary_op<Sinh>("Sinh"); }
const OpDef& op_sqrt() { return unary_op<Sqrt>("Sqrt"); }
const OpDef& op_tan() { return unary_op<Tan>("Tan"); }
const OpDef& op_tanh() { return unary_op<Tanh>("Tanh"); }

}  // namespace gacer
