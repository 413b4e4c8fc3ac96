#include <cmath>

#include "ops/cast.h"
#include "ops/elementwise.h"

// Arithmetic on two operands with numpy broadcasting.
namespace gacer {
namespace {

// Integers wrap around: computed unsigned, at least 32 bits wide.
template <typename T>
using Wrapping = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;

#define GACER_ARITHMETIC_FUNCTOR(Name, op)                                                 \
  struct Name {                                                                            \
    static constexpr TypeSet kTypes = TypeSet::kNumeric;                                   \
    template <typename T>                                                                  \
    GACER_ALWAYS_INLINE T operator()(T a, T b) const {                                     \
      if constexpr (std::is_floating_point_v<T>)                                           \
        return a op b;                                                                     \
      else                                                                                 \
        return static_cast<T>(static_cast<Wrapping<T>>(a) op static_cast<Wrapping<T>>(b)); \
    }                                                                                      \
  }
GACER_ARITHMETIC_FUNCTOR(Add, +);
GACER_ARITHMETIC_FUNCTOR(Sub, -);
GACER_ARITHMETIC_FUNCTOR(Mul, *);
#undef GACER_ARITHMETIC_FUNCTOR

// The two integer divisions that trap have results of their own: x / 0 = 0, and x / -1 wraps.
struct Div {
  static constexpr TypeSet kTypes = TypeSet::kNumeric;
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) {
      return a / b;
    } else {
      if (b == 0) return T{0};
      if constexpr (std::is_signed_v<T>) {
        if (b == -1) return Sub{}(T{0}, a);
      }
      return static_cast<T>(a / b);
    }
  }
};

/// The remainder with the dividend's sign (C) or the divisor's (Python).
struct Mod {
  static constexpr TypeSet kTypes = TypeSet::kNumeric;
  bool like_c = false;
  static Mod from(const Node& node) { return {node.attributes.get_int("fmod", 0) != 0}; }
  template <typename T>
  T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) {
      return std::fmod(a, b);
    } else {
      if (b == 0) return T{0};
      if constexpr (std::is_signed_v<T>) {
        if (b == -1) return T{0};
        const T rest = static_cast<T>(a % b);
        const bool moves = !like_c && rest != 0 && (rest < 0) != (b < 0);
        return moves ? static_cast<T>(rest + b) : rest;
      } else {
        return static_cast<T>(a % b);
      }
    }
  }
};

struct BitShift {
  static constexpr TypeSet kTypes = TypeSet::kInteger;
  bool left = true;
  static BitShift from(const Node& node) {
    const std::string direction = node.attributes.get_string("direction", "");
    if (direction != "LEFT" && direction != "RIGHT")
      fail(ErrorKind::kModel, "attribute 'direction' is '{}', expected LEFT or RIGHT", direction);
    return {direction == "LEFT"};
  }
  template <typename T>
  T operator()(T a, T b) const {
    const auto bits = static_cast<std::uint64_t>(b);
    if (bits >= 8 * sizeof(T)) return T{0};
    const auto number = static_cast<std::uint64_t>(a);
    return static_cast<T>(left ? number << bits : number >> bits);
  }
};

template <typename Op>
std::vector<OutputType> infer_binary(const InferContext& context) {
  check_type(context, 0, Op::kTypes);
  check_same_types(context, 0, 2);
  make_functor<Op>(context.node());
  return {{context.dtype(0), broadcast_inputs(context)}};
}

template <typename Op>
void evaluate_binary(const EvalContext& context) {
  const Op op = make_functor<Op>(context.node);
  dispatch_in<Op::kTypes>(context.inputs[0].dtype, context.node, [&](auto tag) {
    using T = decltype(tag);
    for_each_row(context.inputs.first(2), context.outputs[0], context.team,
                 [&](const Row& row) { binary_row<T, T>(row, op); });
  });
}

std::vector<OutputType> infer_mod(const InferContext& context) {
  if (is_float(context.dtype(0)) && !Mod::from(context.node()).like_c)
    fail(ErrorKind::kModel, "Mod of {} needs fmod=1", to_string(context.dtype(0)));
  return infer_binary<Mod>(context);
}

std::vector<OutputType> infer_bit_shift(const InferContext& context) {
  if (!contains(TypeSet::kInteger, context.dtype(0)) || context.dtype(0) == DType::kI8 ||
      context.dtype(0) == DType::kI16 || context.dtype(0) == DType::kI32 ||
      context.dtype(0) == DType::kI64) {
    fail(ErrorKind::kModel, "BitShift of {}, expected an unsigned integer type",
         to_string(context.dtype(0)));
  }
  return infer_binary<BitShift>(context);
}

// ---- Pow -------------------------------------------------------------------------------------

struct Power {
  template <typename T>
  T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>)
      return std::pow(a, b);
    else
      return saturate_cast<T>(std::pow(static_cast<double>(a), static_cast<double>(b)));
  }
};

struct Square {
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T a) const {
    return Mul{}(a, a);
  }
};
struct Cube {
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T a) const {
    return Mul{}(Mul{}(a, a), a);
  }
};
struct Root {
  template <typename T>
  GACER_ALWAYS_INLINE T operator()(T a) const {
    // pow(-0, 0.5) is +0, pow(-inf, 0.5) is +inf: neither is what sqrt gives.
    return a == -std::numeric_limits<T>::infinity() ? -a : std::sqrt(a + T{0});
  }
};

/// A row of powers; a common constant exponent is a product or a square root.
template <typename T>
void power_row(const Row& row) {
  if (!row.moves[1]) {
    const auto exponent = load(*reinterpret_cast<const T*>(row.in[1]));
    if (exponent == ComputeType<T>{2}) return unary_row<T, T>(row, Square{});
    if (exponent == ComputeType<T>{3}) return unary_row<T, T>(row, Cube{});
    if constexpr (std::is_floating_point_v<ComputeType<T>>) {
      if (exponent == ComputeType<T>{0.5f}) return unary_row<T, T>(row, Root{});
    }
  }
  binary_row<T, T>(row, Power{});
}

std::vector<OutputType> infer_pow(const InferContext& context) {
  check_type(context, 0, TypeSet::kNumeric);
  check_type(context, 1, TypeSet::kNumeric);
  return {{context.dtype(0), broadcast_inputs(context)}};
}

void evaluate_pow(const EvalContext& context) {
  const TensorView& base = context.inputs[0];
  if (context.inputs[1].dtype != base.dtype) {
    // Rare: both in double.
    Tensor operands[2] = {Tensor(DType::kF64, base.shape),
                          Tensor(DType::kF64, context.inputs[1].shape)};
    const TensorView views[2] = {TensorView::of(operands[0]), TensorView::of(operands[1])};
    cast_elements(base, views[0], context.team);
    cast_elements(context.inputs[1], views[1], context.team);
    Tensor result(DType::kF64, context.outputs[0].shape);
    for_each_row(views, TensorView::of(result), context.team,
                 [](const Row& row) { power_row<double>(row); });
    cast_elements(TensorView::of(result), context.outputs[0], context.team);
    return;
  }
  dispatch_in<TypeSet::kNumeric>(base.dtype, context.node, [&](auto tag) {
    for_each_row(context.inputs.first(2), context.outputs[0], context.team,
                 [](const Row& row) { power_row<decltype(tag)>(row); });
  });
}

/// Before opset 7 broadcasting was asked for, from an axis on.
void import_binary(ImportContext& context) {
  if (context.opset >= 7) return;
  Attributes& attributes = context.node.attributes;
  const bool broadcasts = attributes.get_int("broadcast", 0) != 0;
  if (broadcasts && attributes.has("axis")) align_operand(context, attributes.get_int("axis", 0));
  attributes.erase("broadcast");
  attributes.erase("axis");
  attributes.erase("consumed_inputs");
}

template <typename Op>
const OpDef& binary_op(std::string_view name,
                       std::vector<OutputType> (*infer)(const InferContext&) = infer_binary<Op>) {
  static const OpDef kDef{.name = name,
                          .infer = infer,
                          .evaluate = evaluate_binary<Op>,
                          .cost = pointwise_cost,
                          .split = split_pointwise,
                          .import = import_binary,
                          .is_pointwise = true};
  return kDef;
}

// ---- comparisons and logic -------------------------------------------------------------------

#define GACER_TEST_FUNCTOR(Name, types, op)               \
  struct Name {                                           \
    static constexpr TypeSet kTypes = types;              \
    template <typename T>                                 \
    GACER_ALWAYS_INLINE bool operator()(T a, T b) const { \
      return a op b;                                      \
    }                                                     \
  }
GACER_TEST_FUNCTOR(Equal, TypeSet::kAny, ==);
GACER_TEST_FUNCTOR(Greater, TypeSet::kNumeric, >);
GACER_TEST_FUNCTOR(GreaterOrEqual, TypeSet::kNumeric, >=);
GACER_TEST_FUNCTOR(Less, TypeSet::kNumeric, <);
GACER_TEST_FUNCTOR(LessOrEqual, TypeSet::kNumeric, <=);
GACER_TEST_FUNCTOR(And, TypeSet::kBool, &&);
GACER_TEST_FUNCTOR(Or, TypeSet::kBool, ||);
GACER_TEST_FUNCTOR(Xor, TypeSet::kBool, !=);
#undef GACER_TEST_FUNCTOR

template <typename Op>
std::vector<OutputType> infer_test(const InferContext& context) {
  check_type(context, 0, Op::kTypes);
  check_same_types(context, 0, 2);
  return {{DType::kBool, broadcast_inputs(context)}};
}

template <typename Op>
void evaluate_test(const EvalContext& context) {
  dispatch_in<Op::kTypes>(context.inputs[0].dtype, context.node, [&](auto tag) {
    for_each_row(context.inputs.first(2), context.outputs[0], context.team,
                 [](const Row& row) { binary_row<decltype(tag), bool>(row, Op{}); });
  });
}

template <typename Op>
const OpDef& test_op(std::string_view name) {
  static const OpDef kDef{.name = name,
                          .infer = infer_test<Op>,
                          .evaluate = evaluate_test<Op>,
                          .cost = pointwise_cost,
                          .split = split_pointwise,
                          .import = import_binary,
                          .is_pointwise = true};
  return kDef;
}

}  // namespace

const OpDef& op_add() { return binary_op<Add>("Add"); }
const OpDef& op_sub() { return binary_op<Sub>("Sub"); }
const OpDef& op_mul() { return binary_op<Mul>("Mul"); }
const OpDef& op_div() { return binary_op<Div>("Div"); }
const OpDef& op_mod() { return binary_op<Mod>("Mod", infer_mod); }
const OpDef& op_bit_shift() { return binary_op<BitShift>("BitShift", infer_bit_shift); }

const OpDef& op_pow() {
  static const OpDef kDef{.name = "Pow",
                          .infer = infer_pow,
                          .evaluate = evaluate_pow,
                          .cost = pointwise_cost,
                          .split = split_pointwise,
                          .import = import_binary,
                          .is_pointwise = true};
  return kDef;
}

const OpDef& op_equal() { return test_op<Equal>("Equal"); }
const OpDef& op_greater() { return test_op<Greater>("Greater"); }
const OpDef& op_greater_or_equal() { return test_op<GreaterOrEqual>("GreaterOrEqual"); }
const OpDef& op_less() { return test_op<Less>("Less"); }
const OpDef& op_less_or_equal() { return test_op<LessOrEqual>("LessOrEqual"); }
const OpDef& op_and() { return test_op<And>("And"); }
const OpDef& op_or() { return test_op<Or>("Or"); }
const OpDef& op_xor() { return test_op<Xor>("Xor"); }

}  // namespace gacer
