#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>

#include "tests/ops/op_runner.h"
#include "tests/support/expect_error.h"

namespace gacer::testing {
namespace {

const std::int64_t kZero = 0;
const std::int64_t kOne = 1;

struct Reduction {
  const char* op;
  double initial;
  std::function<double(double, double)> step;
  std::function<double(double, double)> finish;  // (accumulated, count)
};

const std::vector<Reduction>& reductions() {
  static const auto kSum = [](double a, double x) { return a + x; };
  static const auto kKeep = [](double a, double) { return a; };
  static const std::vector<Reduction> kAll = {
      {"ReduceSum", 0, kSum, kKeep},
      {"ReduceMean", 0, kSum, [](double a, double n) { return a / n; }},
      {"ReduceMax", -1e30, [](double a, double x) { return std::max(a, x); }, kKeep},
      {"ReduceMin", 1e30, [](double a, double x) { return std::min(a, x); }, kKeep},
      {"ReduceProd", 1, [](double a, double x) { return a * x; }, kKeep},
      {"ReduceL1", 0, [](double a, double x) { return a + std::fabs(x); }, kKeep},
      {"ReduceL2", 0, [](double a, double x) { return a + x * x; },
       [](double a, double) { return std::sqrt(a); }},
      {"ReduceSumSquare", 0, [](double a, double x) { return a + x * x; }, kKeep},
      {"ReduceLogSum", 0, kSum, [](double a, double) { return std::log(a); }},
      {"ReduceLogSumExp", 0, [](double a, double x) { return a + std::exp(x); },
       [](double a, double) { return std::log(a); }}};
  return kAll;
}

/// Reduces by walking all elements in order.
std::vector<double> naive(const Reduction& reduction, const Tensor& x,
                          const std::vector<bool>& reduced) {
  const Shape& shape = x.shape();
  std::int64_t outputs = 1;
  for (int axis = 0; axis < shape.rank(); ++axis)
    if (!reduced[static_cast<std::size_t>(axis)]) outputs *= shape[axis];
  std::vector<double> result(static_cast<std::size_t>(outputs), reduction.initial);
  std::vector<double> count(result.size(), 0);
  for (std::int64_t i = 0; i < x.num_elements(); ++i) {
    std::int64_t rest = i;
    std::int64_t target = 0;
    std::int64_t stride = 1;
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      if (!reduced[static_cast<std::size_t>(axis)]) {
        target += rest % shape[axis] * stride;
        stride *= shape[axis];
      }
      rest /= shape[axis];
    }
    auto& slot = result[static_cast<std::size_t>(target)];
    slot = reduction.step(slot, x.data<float>()[static_cast<std::size_t>(i)]);
    ++count[static_cast<std::size_t>(target)];
  }
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = reduction.finish(result[i], count[i]);
  return result;
}

TEST(Reduce, AgreesWithPlainLoopsOverAnyAxes) {
  std::mt19937 engine(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::int64_t> dims;
    for (unsigned rank = engine() % 4 + 1; dims.size() < rank;)
      dims.push_back(static_cast<std::int64_t>(engine() % 6 + 1 + (engine() % 5 == 0 ? 150 : 0)));
    const Tensor x = random_tensor(Shape(dims), engine(), 0.9, 1.1);
    std::vector<bool> reduced(dims.size());
    Ints axes;
    for (std::size_t axis = 0; axis < dims.size(); ++axis) {
      reduced[axis] = engine() % 2 == 0;
      if (!reduced[axis]) continue;
      const auto own = static_cast<std::int64_t>(axis);
      axes.push_back(engine() % 2 == 0 ? own : own - static_cast<std::int64_t>(dims.size()));
    }
    const Reduction& reduction = reductions()[engine() % reductions().size()];
    const std::int64_t keeps = static_cast<std::int64_t>(engine() % 2);
    const Tensor y = run_op(reduction.op, {variable(x), constant(ints(axes))},
                            attrs({{"keepdims", keeps}, {"noop_with_empty_axes", kOne}}))[0];
    ASSERT_EQ(y.shape().rank(), static_cast<int>(dims.size() - (keeps == 1 ? 0 : axes.size())));
    const std::vector<double> expected = naive(reduction, x, reduced);
    ASSERT_EQ(y.data<float>().size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i)
      ASSERT_NEAR(y.data<float>()[i], expected[i], 1e-5 * std::max(1.0, std::fabs(expected[i])))
          << reduction.op << " of " << x.shape().to_string();
  }
}

TEST(Reduce, TakesAxesFromOldAttributesAndAllByDefault) {
  const Tensor x = iota(Shape{2, 3});
  const Tensor y = run_op("ReduceSum", {variable(x)},
                          attrs({{"axes", Ints{1}}, {"keepdims", kZero}}), 1, /*opset=*/11)[0];
  EXPECT_EQ(values_of(y), (std::vector<float>{3, 12}));
  EXPECT_EQ(y.shape(), (Shape{2}));
  const Tensor all = run_op("ReduceMean", {variable(x)})[0];
  EXPECT_EQ(all.shape(), (Shape{1, 1}));
  EXPECT_EQ(all.data<float>()[0], 2.5f);
  const Tensor none =
      run_op("ReduceMax", {variable(x)}, attrs({{"noop_with_empty_axes", kOne}}))[0];
  EXPECT_TRUE(same_bytes(none, x));
}

TEST(Reduce, ManySmallNumbersKeepTheirSum) {
  Tensor x(DType::kF32, Shape{1, 3000000});
  for (float& v : x.mutable_data<float>()) v = 0.1f;
  const Tensor y = run_op("ReduceSum", {variable(x)})[0];
  EXPECT_NEAR(y.data<float>()[0], 300000, 1);
}

TEST(Reduce, WorksOnIntegersAndHalves) {
  EXPECT_EQ(values_of<std::int64_t>(run_op("ReduceSum", {variable(ints({1, 2, 3}))})[0]),
            (Ints{6}));
  EXPECT_EQ(values_of<std::int64_t>(run_op("ReduceMin", {variable(ints({4, -2, 3}))})[0]),
            (Ints{-2}));
  const Tensor half =
      run_op("Cast", {variable(iota(Shape{64}))}, attrs({{"to", std::int64_t{10}}}))[0];
  const Tensor sum = run_op("ReduceSum", {variable(half)})[0];
  EXPECT_EQ(static_cast<float>(sum.data<Half>()[0]), 2016);
}

template <typename T>
class ReduceOfNarrowIntegers : public ::testing::Test {};
using NarrowIntegers =
    ::testing::Types<std::int8_t, std::uint8_t, std::int16_t, std::uint16_t, std::int32_t>;
TYPED_TEST_SUITE(ReduceOfNarrowIntegers, NarrowIntegers);

TYPED_TEST(ReduceOfNarrowIntegers, SumsWrapAndExtremesOfNothingAreTheTypesEnds) {
  using T = TypeParam;
  using Limits = std::numeric_limits<T>;
  Tensor x(dtype_of<T>(), Shape{3});
  std::ranges::copy(std::array<T, 3>{Limits::max(), T{2}, Limits::max()},
                    x.template mutable_data<T>().begin());
  const auto reduce = [](const char* op, const Tensor& data) {
    return run_op(op, {variable(data)})[0].template data<T>()[0];
  };
  EXPECT_EQ(reduce("ReduceSum", x), static_cast<T>(std::int64_t{2} * Limits::max() + 2));
  EXPECT_EQ(reduce("ReduceMax", x), Limits::max());
  EXPECT_EQ(reduce("ReduceMin", x), T{2});
  const Tensor nothing(dtype_of<T>(), Shape{0});
  EXPECT_EQ(reduce("ReduceSum", nothing), T{0});
  EXPECT_EQ(reduce("ReduceProd", nothing), T{1});
  EXPECT_EQ(reduce("ReduceMax", nothing), Limits::lowest());
  EXPECT_EQ(reduce("ReduceMin", nothing), Limits::max());
}

TEST(Reduce, MaxPropagatesNanAndLogSumExpDoesNotOverflow) {
  EXPECT_TRUE(std::isnan(run_op("ReduceMax", {variable(floats(Shape{3}, {1, std::nanf(""), 2}))})[0]
                             .data<float>()[0]));
  EXPECT_NEAR(
      run_op("ReduceLogSumExp", {variable(floats(Shape{2}, {1000, 1000}))})[0].data<float>()[0],
      1000.6931, 1e-3);
}

TEST(ReduceSplit, ChunksEqualTheWholeUnlessTheBatchIsReduced) {
  const Tensor x = random_tensor(Shape{2, 4, 3, 50}, 9);
  for (const Reduction& reduction : reductions()) {
    if (std::string(reduction.op) == "ReduceLogSum") continue;
    expect_split_is_whole(reduction.op, {batched(x, 1), constant(ints({0, -1}))},
                          attrs({{"keepdims", kZero}}), 4, {0, 1});
    expect_split_is_whole(reduction.op, {batched(x, 1), constant(ints({-1}))}, {}, 4, {1, 1});
    expect_refused(reduction.op, {batched(x, 1), constant(ints({1, 2}))}, {}, 4, "is reduced");
  }
}

TEST(ArgMax, FindsFirstOrLast) {
  const Tensor x = floats(Shape{2, 4}, {1, 7, 7, 2, 5, 0, 0, 5});
  const auto run = [&](const char* op, std::int64_t last) {
    return values_of<std::int64_t>(
        run_op(op, {variable(x)},
               attrs({{"axis", kOne}, {"keepdims", kZero}, {"select_last_index", last}}))[0]);
  };
  EXPECT_EQ(run("ArgMax", 0), (Ints{1, 0}));
  EXPECT_EQ(run("ArgMax", 1), (Ints{2, 3}));
  EXPECT_EQ(run("ArgMin", 0), (Ints{0, 1}));
  EXPECT_EQ(run("ArgMin", 1), (Ints{0, 2}));
  const Tensor y = random_tensor(Shape{3, 6, 5}, 4);
  expect_split_is_whole("ArgMax", {batched(y)}, attrs({{"axis", kOne}}), 3, {0, 1});
  expect_split_is_whole("ArgMin", {batched(y, 1, 2)}, attrs({{"axis", kZero}, {"keepdims", kZero}}),
                        3, {0, 2});
  expect_refused("ArgMax", {batched(y)}, attrs({{"axis", kZero}}), 3, "axis 0");
}

TEST(TopK, SortsAndBreaksTiesByIndex) {
  const Tensor x = floats(Shape{2, 4}, {1, 7, 7, 2, 5, 0, 3, 5});
  const auto y = run_op("TopK", {variable(x), constant(ints({3}))}, {}, 2);
  EXPECT_EQ(values_of(y[0]), (std::vector<float>{7, 7, 2, 5, 5, 3}));
  EXPECT_EQ(values_of<std::int64_t>(y[1]), (Ints{1, 2, 3, 0, 3, 2}));
  const auto low = run_op("TopK", {variable(x), constant(ints({1}))},
                          attrs({{"largest", kZero}, {"axis", kZero}}), 2);
  EXPECT_EQ(values_of(low[0]), (std::vector<float>{1, 0, 3, 2}));
  EXPECT_EQ(values_of<std::int64_t>(low[1]), (Ints{0, 1, 1, 0}));
  const auto old = run_op("TopK", {variable(x)}, attrs({{"k", kOne}}), 2, /*opset=*/9);
  EXPECT_EQ(values_of(old[0]), (std::vector<float>{7, 5}));
  expect_error(ErrorKind::kModel, "k is [5]", [&] {
    run_op("TopK", {variable(x), constant(ints({5}))}, {}, 2);
  });
  expect_split_is_whole("TopK", {batched(random_tensor(Shape{4, 9, 3}, 1)), constant(ints({4}))},
                        attrs({{"axis", kOne}}), 4, {0, 1}, 2);
}

TEST(CumSum, RunsBothWaysAndExclusively) {
  const Tensor x = floats(Shape{2, 3}, {1, 2, 3, 4, 5, 6});
  const auto run = [&](std::int64_t axis, std::int64_t exclusive, std::int64_t reverse) {
    return values_of(run_op("CumSum", {variable(x), constant(Tensor::scalar(axis))},
                            attrs({{"exclusive", exclusive}, {"reverse", reverse}}))[0]);
  };
  EXPECT_EQ(run(1, 0, 0), (std::vector<float>{1, 3, 6, 4, 9, 15}));
  EXPECT_EQ(run(1, 1, 0), (std::vector<float>{0, 1, 3, 0, 4, 9}));
  EXPECT_EQ(run(1, 0, 1), (std::vector<float>{6, 5, 3, 15, 11, 6}));
  EXPECT_EQ(run(0, 1, 1), (std::vector<float>{4, 5, 6, 0, 0, 0}));
  expect_split_is_whole("CumSum",
                        {batched(random_tensor(Shape{4, 9}, 1)), constant(Tensor::scalar(kOne))},
                        {}, 4, {0, 1});
  expect_refused("CumSum", {batched(x), constant(Tensor::scalar(kZero))}, {}, 2, "axis 0");
}

}  // namespace
}  // namespace gacer::testing
