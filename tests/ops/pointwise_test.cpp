#include <cmath>
#include <functional>
#include <limits>

#include "base/vector_math.h"
#include "tests/ops/op_runner.h"
#include "tests/support/expect_error.h"

namespace gacer::testing {
namespace {

constexpr std::int64_t kOne = 1;

// ---- functions -------------------------------------------------------------------------------

struct UnaryCase {
  const char* op;
  double (*reference)(double);
  double low;
  double high;
};

void PrintTo(const UnaryCase& unary, std::ostream* out) { *out << unary.op; }

class Unary : public ::testing::TestWithParam<UnaryCase> {};

TEST_P(Unary, AgreesWithTheMathLibraryInEveryFloatType) {
  const UnaryCase& c = GetParam();
  const Tensor x = random_tensor<double>(Shape{7, 143}, 5, c.low, c.high);
  const std::pair<DType, double> types[] = {
      {DType::kF64, 1e-12}, {DType::kF32, 2e-6}, {DType::kF16, 4e-3}, {DType::kBF16, 3e-2}};
  for (const auto& [dtype, tolerance] : types) {
    const std::int64_t number = dtype == DType::kF64   ? 11
                                : dtype == DType::kF32 ? 1
                                : dtype == DType::kF16 ? 10
                                                       : 16;
    const Tensor typed = run_op("Cast", {variable(x)}, attrs({{"to", number}}))[0];
    const Tensor exact = run_op("Cast", {variable(typed)}, attrs({{"to", std::int64_t{11}}}))[0];
    const Tensor y = run_op(c.op, {variable(typed)})[0];
    ASSERT_EQ(y.dtype(), dtype);
    const Tensor wide = run_op("Cast", {variable(y)}, attrs({{"to", std::int64_t{11}}}))[0];
    for (std::size_t i = 0; i < exact.data<double>().size(); ++i) {
      const double expected = c.reference(exact.data<double>()[i]);
      ASSERT_NEAR(wide.data<double>()[i], expected, tolerance * std::max(1.0, std::fabs(expected)))
          << c.op << "(" << exact.data<double>()[i] << ") in " << to_string(dtype);
    }
  }
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double softplus(double x) { return std::log(1 + std::exp(x)); }

INSTANTIATE_TEST_SUITE_P(
    All, Unary,
    ::testing::Values(
        UnaryCase{"Abs", std::fabs, -9, 9}, UnaryCase{"Acos", std::acos, -0.9, 0.9},
        UnaryCase{"Acosh", std::acosh, 1.5, 9}, UnaryCase{"Asin", std::asin, -0.9, 0.9},
        UnaryCase{"Asinh", std::asinh, -9, 9}, UnaryCase{"Atan", std::atan, -9, 9},
        UnaryCase{"Atanh", std::atanh, -0.9, 0.9}, UnaryCase{"Ceil", std::ceil, -9, 9},
        UnaryCase{"Cos", std::cos, -9, 9}, UnaryCase{"Cosh", std::cosh, -5, 5},
        UnaryCase{"Erf", std::erf, -5, 5}, UnaryCase{"Exp", std::exp, -9, 9},
        UnaryCase{"Floor", std::floor, -9, 9}, UnaryCase{"Log", std::log, 0.1, 90},
        UnaryCase{"Neg", [](double x) { return -x; }, -9, 9},
        UnaryCase{"Reciprocal", [](double x) { return 1 / x; }, 0.1, 9},
        UnaryCase{"Round", std::nearbyint, -9, 9},
        UnaryCase{"Sign", [](double x) { return double((x > 0) - (x < 0)); }, -2, 2},
        UnaryCase{"Sin", std::sin, -9, 9}, UnaryCase{"Sinh", std::sinh, -5, 5},
        UnaryCase{"Sqrt", std::sqrt, 0, 90}, UnaryCase{"Tan", std::tan, -1, 1},
        UnaryCase{"Tanh", std::tanh, -9, 9},
        UnaryCase{"Identity", [](double x) { return x; }, -9, 9},
        UnaryCase{"Relu", [](double x) { return std::max(x, 0.0); }, -9, 9},
        UnaryCase{"LeakyRelu", [](double x) { return x < 0 ? 0.01f * x : x; }, -9, 9},
        UnaryCase{"Sigmoid", sigmoid, -20, 20},
        UnaryCase{"HardSigmoid", [](double x) { return std::clamp(0.2f * x + 0.5, 0.0, 1.0); }, -9,
                  9},
        UnaryCase{"Elu", [](double x) { return x < 0 ? std::expm1(x) : x; }, -9, 9},
        UnaryCase{"Celu", [](double x) { return x < 0 ? std::expm1(x) : x; }, -9, 9},
        UnaryCase{"Selu",
                  [](double x) {
                    return double(1.0507010221481323f) *
                           (x < 0 ? double(1.6732631921768188f) * std::expm1(x) : x);
                  },
                  -9, 9},
        UnaryCase{"ThresholdedRelu", [](double x) { return x > 1 ? x : 0; }, -9, 9},
        UnaryCase{"Softplus", softplus, -30, 30},
        UnaryCase{"Softsign", [](double x) { return x / (1 + std::fabs(x)); }, -9, 9},
        UnaryCase{"Mish", [](double x) { return x * std::tanh(softplus(x)); }, -9, 9}),
    [](const auto& unary) { return std::string(unary.param.op); });

TEST(VectorMath, IsWithinOneMillionthRelative) {
  for (double x = -86; x < 88; x += 0.0137) {
    const auto f = static_cast<float>(x);
    const double d = f;
    EXPECT_NEAR(vector_math::exp(f) / std::exp(d), 1, 1e-6) << x;
    EXPECT_NEAR(vector_math::softplus(f) / (std::max(d, 0.0) + std::log1p(std::exp(-std::fabs(d)))),
                1, 1e-6)
        << x;
    EXPECT_NEAR(vector_math::sigmoid(f) * (1 + std::exp(-d)), 1, 1e-6) << x;
    if (x != 0) {
      EXPECT_NEAR(vector_math::tanh(f) / std::tanh(d), 1, 1e-6) << x;
      EXPECT_NEAR(vector_math::erf(f) / std::erf(d), 1, 1e-6) << x;
      EXPECT_NEAR(vector_math::erf(f / 100) / std::erf(double{f / 100}), 1, 1e-6) << x;
    }
  }
}

TEST(VectorMath, KeepsNanAndReachesTheLimits) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(vector_math::exp(nan)));
  EXPECT_TRUE(std::isnan(vector_math::tanh(nan)));
  EXPECT_TRUE(std::isnan(vector_math::erf(nan)));
  EXPECT_TRUE(std::isnan(vector_math::sigmoid(nan)));
  EXPECT_EQ(vector_math::exp(kInf), kInf);
  EXPECT_EQ(vector_math::exp(-kInf), 0);
  EXPECT_EQ(vector_math::exp(89), kInf);
  EXPECT_TRUE(std::isfinite(vector_math::exp(88.7f)));
  EXPECT_EQ(vector_math::tanh(kInf), 1);
  EXPECT_EQ(vector_math::erf(-kInf), -1);
  EXPECT_EQ(vector_math::sigmoid(-kInf), 0);
}

TEST(UnaryOps, IntegersWrapAroundInsteadOfOverflowing) {
  const auto lowest = std::numeric_limits<std::int32_t>::min();
  const Tensor x = Tensor::from<std::int32_t>(Shape{3}, {lowest, -5, 7});
  EXPECT_EQ(values_of<std::int32_t>(run_op("Abs", {variable(x)})[0]),
            (std::vector<std::int32_t>{lowest, 5, 7}));
  EXPECT_EQ(values_of<std::int32_t>(run_op("Neg", {variable(x)})[0]),
            (std::vector<std::int32_t>{lowest, 5, -7}));
}

TEST(UnaryOps, TestsOfFloatsGiveBools) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const Tensor x = floats(Shape{4}, {1, std::nanf(""), kInf, -kInf});
  EXPECT_EQ(values_of<bool>(run_op("IsNaN", {variable(x)})[0]),
            (std::vector<bool>{false, true, false, false}));
  EXPECT_EQ(values_of<bool>(run_op("IsInf", {variable(x)})[0]),
            (std::vector<bool>{false, false, true, true}));
  EXPECT_EQ(values_of<bool>(
                run_op("IsInf", {variable(x)}, attrs({{"detect_negative", std::int64_t{0}}}))[0]),
            (std::vector<bool>{false, false, true, false}));
}

TEST(UnaryOps, RefuseTypesThatTheyDoNotTake) {
  const Tensor x = Tensor::from<std::int32_t>(Shape{1}, {1});
  expect_error(ErrorKind::kModel, "i32, expected a float type",
               [&] { run_op("Sqrt", {variable(x)}); });
  expect_error(ErrorKind::kModel, "i32, expected bool", [&] { run_op("Not", {variable(x)}); });
}

TEST(Clip, TakesBoundsFromInputsOrOldAttributes) {
  const Tensor x = floats(Shape{5}, {-3, -1, 0, 1, 3});
  const std::vector<float> expected = {-1, -1, 0, 1, 2};
  EXPECT_EQ(values_of(run_op("Clip", {variable(x), constant(Tensor::scalar(-1.0f)),
                                      constant(Tensor::scalar(2.0f))})[0]),
            expected);
  EXPECT_EQ(values_of(run_op("Clip", {variable(x)}, attrs({{"min", -1.0f}, {"max", 2.0f}}), 1,
                             /*opset=*/6)[0]),
            expected);
  EXPECT_EQ(values_of(run_op("Clip", {variable(x), absent(), constant(Tensor::scalar(0.0f))})[0]),
            (std::vector<float>{-3, -1, 0, 0, 0}));
  const Tensor half = run_op("Cast", {variable(x)}, attrs({{"to", std::int64_t{10}}}))[0];
  const Tensor clipped = run_op("Clip", {variable(half)}, attrs({{"max", 0.0f}}), 1, 6)[0];
  EXPECT_EQ(clipped.dtype(), DType::kF16);
  EXPECT_EQ(static_cast<float>(clipped.data<Half>()[4]), 0);
}

// ---- broadcasting ----------------------------------------------------------------------------

/// Element of `tensor` under position `index` of the shape `out`, by plain index arithmetic.
double broadcast_at(const Tensor& tensor, const Shape& out, std::int64_t position) {
  std::int64_t offset = 0;
  std::int64_t stride = 1;
  for (int axis = out.rank() - 1; axis >= 0; --axis) {
    const std::int64_t at = position % out[axis];
    position /= out[axis];
    const int own = axis - (out.rank() - tensor.shape().rank());
    if (own < 0) continue;
    if (tensor.shape()[own] != 1) offset += at * stride;
    stride *= tensor.shape()[own];
  }
  return tensor.data<float>()[static_cast<std::size_t>(offset)];
}

/// A shape that broadcasts to `full`: leading axes dropped, some others of size 1.
Shape shrink(const Shape& full, std::mt19937& engine) {
  const int dropped = static_cast<int>(engine() % static_cast<unsigned>(full.rank() + 1));
  std::vector<std::int64_t> dims(full.begin() + dropped, full.end());
  for (std::int64_t& dim : dims)
    if (engine() % 3 == 0) dim = 1;
  return Shape(dims);
}

TEST(Broadcasting, AgreesWithPlainIndexing) {
  const std::pair<const char*, std::function<double(double, double)>> ops[] = {
      {"Add", [](double a, double b) { return a + b; }},
      {"Sub", [](double a, double b) { return a - b; }},
      {"Mul", [](double a, double b) { return a * b; }},
      {"Div", [](double a, double b) { return a / b; }},
      {"Max", [](double a, double b) { return std::max(a, b); }},
      {"Min", [](double a, double b) { return std::min(a, b); }},
      {"PRelu", [](double a, double b) { return a < 0 ? a * b : a; }},
      {"Mean", [](double a, double b) { return (a + b) / 2; }}};
  std::mt19937 engine(17);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::int64_t> dims;
    for (unsigned rank = engine() % 5; dims.size() < rank;)
      dims.push_back(static_cast<std::int64_t>(engine() % 7 + (engine() % 4 == 0 ? 30 : 0)));
    const Shape full(dims);
    const auto& [op, reference] = ops[engine() % std::size(ops)];
    const bool is_prelu = std::string(op) == "PRelu";
    const Tensor a = random_tensor(is_prelu ? full : shrink(full, engine), engine());
    const Tensor b = random_tensor(shrink(full, engine), engine());
    const Tensor y = run_op(op, {variable(a), variable(b)})[0];
    ASSERT_EQ(y.shape(), broadcast_shapes(a.shape(), b.shape()));
    for (std::int64_t i = 0; i < y.num_elements(); ++i) {
      const double expected =
          reference(broadcast_at(a, y.shape(), i), broadcast_at(b, y.shape(), i));
      ASSERT_NEAR(y.data<float>()[static_cast<std::size_t>(i)], expected,
                  1e-6 * std::max(1.0, std::fabs(expected)))
          << op << " " << a.shape().to_string() << " " << b.shape().to_string() << " at " << i;
    }
  }
}

TEST(Broadcasting, WhereChoosesAcrossThreeShapes) {
  std::mt19937 engine(23);
  for (int round = 0; round < 100; ++round) {
    const Shape full{static_cast<std::int64_t>(engine() % 4 + 1),
                     static_cast<std::int64_t>(engine() % 5 + 1),
                     static_cast<std::int64_t>(engine() % 20 + 1)};
    const Tensor pick = random_tensor(shrink(full, engine), engine(), -1, 1);
    const Tensor zero = floats(Shape{}, {0});
    const Tensor condition = run_op("Greater", {variable(pick), constant(zero)})[0];
    const Tensor x = random_tensor(shrink(full, engine), engine());
    const Tensor y = random_tensor(shrink(full, engine), engine());
    const Tensor out = run_op("Where", {variable(condition), variable(x), variable(y)})[0];
    for (std::int64_t i = 0; i < out.num_elements(); ++i) {
      const bool yes = broadcast_at(pick, out.shape(), i) > 0;
      ASSERT_EQ(out.data<float>()[static_cast<std::size_t>(i)],
                static_cast<float>(broadcast_at(yes ? x : y, out.shape(), i)));
    }
  }
}

TEST(Broadcasting, NamesShapesThatDoNotFit) {
  const Tensor a(DType::kF32, Shape{2, 3});
  const Tensor b(DType::kF32, Shape{2, 4});
  expect_error(ErrorKind::kModel, "[2, 4]", [&] { run_op("Add", {variable(a), variable(b)}); });
  const Tensor c(DType::kF64, Shape{2, 3});
  expect_error(ErrorKind::kModel, "f64", [&] { run_op("Add", {variable(a), variable(c)}); });
}

TEST(Broadcasting, WorksInPlace) {
  Tensor x = iota(Shape{3, 50});
  const Tensor one = Tensor::scalar(1.0f);
  const OneOp add("Add", {variable(x), variable(one)});
  const TensorView views[] = {TensorView::of(x), TensorView::of(one)};
  SerialTeam team;
  evaluate_node(add.graph.node(0), views, {views, 1}, team);
  for (std::size_t i = 0; i < 150; ++i) EXPECT_EQ(x.data<float>()[i], static_cast<float>(i + 1));
}

TEST(Broadcasting, LinesUpFromAnAxisInOldOpsets) {
  const Tensor x = iota(Shape{2, 3, 4});
  const Tensor channel = floats(Shape{3}, {100, 200, 300});
  const Attributes old = attrs({{"broadcast", kOne}, {"axis", kOne}});
  for (const bool is_constant : {false, true}) {
    const Tensor y =
        run_op("Add", {variable(x), {channel, is_constant, {}}}, old, 1, /*opset=*/6)[0];
    EXPECT_EQ(y.shape(), (Shape{2, 3, 4}));
    EXPECT_EQ(y.data<float>()[4], 204);
    EXPECT_EQ(y.data<float>()[23], 323);
  }
  const Tensor slope = floats(Shape{3}, {1, 2, 3});
  const Tensor negative = run_op("Neg", {variable(x)})[0];
  const Tensor y = run_op("PRelu", {variable(negative), constant(slope)}, {}, 1, /*opset=*/6)[0];
  EXPECT_EQ(y.data<float>()[4], -8);
}

// ---- types -----------------------------------------------------------------------------------

TEST(Arithmetic, IntegerDivisionNeverTraps) {
  const auto lowest = std::numeric_limits<std::int64_t>::min();
  const Tensor a = ints({7, -7, lowest, 5});
  const Tensor b = ints({2, 2, -1, 0});
  EXPECT_EQ(values_of<std::int64_t>(run_op("Div", {variable(a), variable(b)})[0]),
            (Ints{3, -3, lowest, 0}));
  EXPECT_EQ(values_of<std::int64_t>(run_op("Mod", {variable(a), variable(b)})[0]),
            (Ints{1, 1, 0, 0}));
  EXPECT_EQ(values_of<std::int64_t>(
                run_op("Mod", {variable(a), variable(b)}, attrs({{"fmod", kOne}}))[0]),
            (Ints{1, -1, 0, 0}));
  expect_error(ErrorKind::kModel, "fmod=1", [] {
    run_op("Mod", {variable(floats(Shape{1}, {1})), variable(floats(Shape{1}, {1}))});
  });
}

TEST(Arithmetic, PowAgreesForEveryExponent) {
  const Tensor x = random_tensor(Shape{40}, 3, 0.1, 4);
  for (const float exponent : {0.0f, 0.5f, 1.0f, 2.0f, 3.0f, -1.5f}) {
    const Tensor y = run_op("Pow", {variable(x), constant(Tensor::scalar(exponent))})[0];
    for (std::size_t i = 0; i < 40; ++i)
      EXPECT_NEAR(y.data<float>()[i], std::pow(x.data<float>()[i], exponent), 1e-4);
  }
  const Tensor mixed =
      run_op("Pow", {variable(ints({2, 3})), variable(floats(Shape{2}, {3, 2}))})[0];
  EXPECT_EQ(values_of<std::int64_t>(mixed), (Ints{8, 9}));
}

TEST(Arithmetic, BitShiftMovesBothWays) {
  const Tensor x = Tensor::from<std::uint8_t>(Shape{3}, {1, 200, 255});
  const Tensor by = Tensor::from<std::uint8_t>(Shape{3}, {3, 1, 9});
  EXPECT_EQ(values_of<std::uint8_t>(run_op("BitShift", {variable(x), variable(by)},
                                           attrs({{"direction", std::string("LEFT")}}))[0]),
            (std::vector<std::uint8_t>{8, 144, 0}));
  EXPECT_EQ(values_of<std::uint8_t>(run_op("BitShift", {variable(x), variable(by)},
                                           attrs({{"direction", std::string("RIGHT")}}))[0]),
            (std::vector<std::uint8_t>{0, 100, 0}));
}

TEST(Comparison, GivesBoolsForNumbersAndBools) {
  const Tensor a = ints({1, 2, 3});
  const Tensor b = ints({2});
  const auto run = [&](const char* op) {
    return values_of<bool>(run_op(op, {variable(a), variable(b)})[0]);
  };
  EXPECT_EQ(run("Equal"), (std::vector<bool>{false, true, false}));
  EXPECT_EQ(run("Greater"), (std::vector<bool>{false, false, true}));
  EXPECT_EQ(run("GreaterOrEqual"), (std::vector<bool>{false, true, true}));
  EXPECT_EQ(run("Less"), (std::vector<bool>{true, false, false}));
  EXPECT_EQ(run("LessOrEqual"), (std::vector<bool>{true, true, false}));
  const Tensor p = Tensor::from<bool>(Shape{4}, {false, false, true, true});
  const Tensor q = Tensor::from<bool>(Shape{4}, {false, true, false, true});
  EXPECT_EQ(values_of<bool>(run_op("And", {variable(p), variable(q)})[0]),
            (std::vector<bool>{false, false, false, true}));
  EXPECT_EQ(values_of<bool>(run_op("Or", {variable(p), variable(q)})[0]),
            (std::vector<bool>{false, true, true, true}));
  EXPECT_EQ(values_of<bool>(run_op("Xor", {variable(p), variable(q)})[0]),
            (std::vector<bool>{false, true, true, false}));
  EXPECT_EQ(values_of<bool>(run_op("Equal", {variable(p), variable(q)})[0]),
            (std::vector<bool>{true, false, false, true}));
}

TEST(Cast, SaturatesFloatsThatIntegersCannotHold) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const Tensor x = floats(Shape{6}, {-1.9f, 300, std::nanf(""), kInf, -kInf, 2.9f});
  const auto to = [&](std::int64_t number) {
    return run_op("Cast", {variable(x)}, attrs({{"to", number}}))[0];
  };
  EXPECT_EQ(values_of<std::int64_t>(to(7)),
            (Ints{-1, 300, 0, std::numeric_limits<std::int64_t>::max(),
                  std::numeric_limits<std::int64_t>::min(), 2}));
  EXPECT_EQ(values_of<std::uint8_t>(to(2)), (std::vector<std::uint8_t>{0, 255, 0, 255, 0, 2}));
  EXPECT_EQ(values_of<bool>(to(9)), (std::vector<bool>{true, true, true, true, true, true}));
  expect_error(ErrorKind::kUnsupported, "element type 8", [&] { to(8); });
}

TEST(Cast, TakesTypeNamesOfOldOpsetsAndTypesOfOthers) {
  const Tensor x = floats(Shape{2}, {0, 1.5f});
  const Tensor y =
      run_op("Cast", {variable(x)}, attrs({{"to", std::string("INT32")}}), 1, /*opset=*/5)[0];
  EXPECT_EQ(values_of<std::int32_t>(y), (std::vector<std::int32_t>{0, 1}));
  EXPECT_EQ(run_op("CastLike", {variable(x), variable(ints({1}))})[0].dtype(), DType::kI64);
}

TEST(Cast, AllPairsOfTypesKeepSmallNumbers) {
  const std::int64_t types[] = {1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 16};
  const Tensor x = floats(Shape{4}, {0, 1, 2, 100});
  for (const std::int64_t first : types) {
    const Tensor a = run_op("Cast", {variable(x)}, attrs({{"to", first}}))[0];
    for (const std::int64_t second : types) {
      const Tensor b = run_op("Cast", {variable(a)}, attrs({{"to", second}}))[0];
      const Tensor back = run_op("Cast", {variable(b)}, attrs({{"to", kOne}}))[0];
      EXPECT_EQ(values_of(back), values_of(x)) << first << " to " << second;
    }
  }
}

TEST(Variadic, FoldsAnyNumberOfOperands) {
  const Tensor a = floats(Shape{2}, {1, 5});
  const Tensor b = floats(Shape{1}, {3});
  const Tensor c = floats(Shape{2, 1}, {2, 9});
  const std::vector<Operand> abc = {variable(a), variable(b), variable(c)};
  EXPECT_EQ(values_of(run_op("Sum", abc)[0]), (std::vector<float>{6, 10, 13, 17}));
  EXPECT_EQ(values_of(run_op("Max", abc)[0]), (std::vector<float>{3, 5, 9, 9}));
  EXPECT_EQ(values_of(run_op("Min", abc)[0]), (std::vector<float>{1, 2, 1, 3}));
  EXPECT_EQ(values_of(run_op("Mean", {variable(a)})[0]), (std::vector<float>{1, 5}));
}

// ---- splitting -------------------------------------------------------------------------------

TEST(PointwiseSplit, ChunksEqualTheWhole) {
  const Tensor x = random_tensor(Shape{5, 3, 40}, 1);
  const Tensor y = random_tensor(Shape{5, 1, 40}, 2);
  const Tensor channel = random_tensor(Shape{3, 1}, 3);
  expect_split_is_whole("Tanh", {batched(x)}, {}, 5, {0, 1});
  expect_split_is_whole("Add", {batched(x), batched(y)}, {}, 5, {0, 1});
  expect_split_is_whole("Mul", {batched(x), constant(channel)}, {}, 5, {0, 1});
  expect_split_is_whole("PRelu", {batched(x), constant(channel)}, {}, 5, {0, 1});
  expect_split_is_whole("Cast", {batched(x)}, attrs({{"to", std::int64_t{7}}}), 5, {0, 1});
  expect_split_is_whole("Max", {batched(x), constant(channel), batched(y)}, {}, 5, {0, 1});
  expect_split_is_whole("Greater", {constant(channel), batched(x)}, {}, 5, {0, 1});
  expect_split_is_whole("Relu", {batched(random_tensor(Shape{2, 12}, 4), 1, 3)}, {}, 4, {1, 3});
  const Tensor rows = random_tensor(Shape{5, 2}, 4);
  expect_split_is_whole("Sub", {batched(random_tensor(Shape{3, 5, 2}, 5), 1), batched(rows)}, {}, 5,
                        {1, 1});
}

TEST(PointwiseSplit, RefusesOperandsThatDoNotFollow) {
  const Tensor x = random_tensor(Shape{4, 4}, 1);
  expect_refused("Add", {batched(x), variable(x)}, {}, 4, "does not carry the batch");
  expect_refused("Add", {batched(x, 0), batched(x, 1)}, {}, 4, "axis 0");
}

}  // namespace
}  // namespace gacer::testing
