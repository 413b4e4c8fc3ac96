// Squeeze-and-excite: against the pool and the convolutions that it stands for.

#include "tests/ops/op_runner.h"
#include "tests/support/compare.h"
#include "tests/support/expect_error.h"

namespace gacer {
namespace {

using namespace gacer::testing;  // NOLINT: test helpers

/// Weights [rows, columns, 1...] beside an image of `rank` axes.
Tensor weights(std::int64_t rows, std::int64_t columns, int rank, unsigned seed) {
  std::vector<std::int64_t> dims(static_cast<std::size_t>(rank), 1);
  dims[0] = rows;
  dims[1] = columns;
  return random_tensor(Shape(dims), seed, -1, 1);
}

/// The operands of images x: 5 hidden numbers, 7 channels of the result.
std::vector<Operand> operands(Operand x, bool has_bias = true) {
  const Shape shape = x.tensor.shape();
  return {std::move(x), constant(weights(5, shape[1], shape.rank(), 11)),
          has_bias ? constant(random_tensor(Shape{5}, 12)) : absent(),
          constant(weights(7, 5, shape.rank(), 13)),
          has_bias ? constant(random_tensor(Shape{7}, 14)) : absent()};
}

Attributes hidden(Activation activation, float alpha = 0, float beta = 0) {
  return attrs(
      {{"activation", std::string(to_string(activation))}, {"alpha", alpha}, {"beta", beta}});
}

Tensor conv(const Tensor& x, const Operand& w, const Operand& bias, PostOp post = {}) {
  OneOp one("Conv", {variable(x), w, bias});
  one.graph.node(0).post = {post};
  return one.run()[0];
}

/// What the operator stands for, every result of the type of x.
Tensor composed(const std::vector<Operand>& operands, const PostOp& post) {
  const Tensor mean = run_op("GlobalAveragePool", {variable(operands[0].tensor)})[0];
  return conv(conv(mean, operands[1], operands[2], post), operands[3], operands[4]);
}

Tensor narrow(const Tensor& tensor) {
  Tensor half(DType::kF16, tensor.shape());
  SerialTeam alone;
  convert_floats(TensorView::of(tensor), TensorView::of(half), alone);
  return half;
}

TEST(SqueezeExcite, IsAMeanAndTwoConvolutions) {
  for (const Shape& shape : {Shape{3, 6, 5, 4}, Shape{3, 6, 9}, Shape{2, 6, 1, 1}})
    for (const bool has_bias : {true, false})
      for (const PostOp& post :
           {PostOp{}, PostOp{.activation = Activation::kRelu},
            PostOp{.activation = Activation::kSilu},
            PostOp{.activation = Activation::kClip, .alpha = -0.1F, .beta = 0.2F}}) {
        const std::vector<Operand> all = operands(variable(random_tensor(shape, 1)), has_bias);
        const Tensor actual =
            run_op("SqueezeExcite", all, hidden(post.activation, post.alpha, post.beta))[0];
        const Tensor expected = composed(all, post);
        ASSERT_EQ(actual.shape(), expected.shape());
        EXPECT_LT(relative_error(actual, expected), 1e-6)
            << shape.to_string() << " " << to_string(post.activation);
      }
}

TEST(SqueezeExcite, HasNoActivationByDefault) {
  const std::vector<Operand> all = operands(variable(random_tensor(Shape{2, 6, 3, 3}, 1)));
  EXPECT_TRUE(same_bytes(run_op("SqueezeExcite", all)[0],
                         run_op("SqueezeExcite", all, hidden(Activation::kIdentity))[0]));
}

TEST(SqueezeExcite, RoundsNothingInBetween) {
  std::vector<Operand> half = operands(variable(random_tensor(Shape{2, 6, 5, 5}, 1)));
  std::vector<Operand> wide = half;
  SerialTeam alone;
  for (std::size_t i = 0; i < half.size(); ++i) {
    half[i].tensor = narrow(half[i].tensor);
    convert_floats(TensorView::of(std::as_const(half[i].tensor)), TensorView::of(wide[i].tensor),
                   alone);
  }
  const Attributes attributes = hidden(Activation::kSigmoid);
  const Tensor actual = run_op("SqueezeExcite", half, attributes)[0];
  ASSERT_EQ(actual.dtype(), DType::kF16);
  EXPECT_TRUE(same_bytes(actual, narrow(run_op("SqueezeExcite", wide, attributes)[0])));
  // The same in steps is rounded on the way.
  EXPECT_FALSE(same_bytes(actual, composed(half, PostOp{.activation = Activation::kSigmoid})));
}

TEST(SqueezeExcite, PostOpsActOnTheResult) {
  OneOp one("SqueezeExcite", operands(variable(random_tensor(Shape{2, 6, 3, 4}, 1))),
            hidden(Activation::kRelu));
  const Tensor plain = one.run()[0];
  one.graph.node(0).post = {
      PostOp{.activation = Activation::kHardSigmoid, .alpha = 0.2F, .beta = 0.5F}};
  const Tensor gate = one.run()[0];
  for (std::size_t i = 0; i < plain.data<float>().size(); ++i)
    EXPECT_EQ(gate.data<float>()[i],
              apply(Activation::kHardSigmoid, plain.data<float>()[i], 0.2F, 0.5F));
}

TEST(SqueezeExcite, PartsOfTheBatchEqualTheWhole) {
  const Attributes attributes = hidden(Activation::kSilu);
  for (const bool has_bias : {true, false})
    expect_split_is_whole("SqueezeExcite",
                          operands(batched(random_tensor(Shape{4, 6, 3, 5}, 1)), has_bias),
                          attributes, 4, {0, 1});
  // Two images an item.
  expect_split_is_whole("SqueezeExcite", operands(batched(random_tensor(Shape{6, 6, 8}, 1), 0, 2)),
                        attributes, 3, {0, 2});
  // The products combine channels, the mean combines positions.
  expect_refused("SqueezeExcite", operands(batched(random_tensor(Shape{2, 6, 3, 4}, 1), 1, 1)),
                 attributes, 6, "axis 1");
  expect_refused("SqueezeExcite", operands(batched(random_tensor(Shape{2, 6, 3, 4}, 1), 2, 1)),
                 attributes, 3, "axis 2");
}

TEST(SqueezeExcite, NamesTheShapesThatDoNotAgree) {
  const auto fails = [](std::size_t changed, Operand operand, const std::string& words) {
    std::vector<Operand> all = operands(variable(random_tensor(Shape{2, 6, 3, 3}, 1)));
    all[changed] = std::move(operand);
    expect_error(ErrorKind::kModel, words, [&] { run_op("SqueezeExcite", all); });
  };
  fails(0, variable(iota(Shape{2, 6})), "[2, 6]");
  fails(0, variable(iota(Shape{2, 6, 3, 3, 3})), "[2, 6, 3, 3, 3]");
  fails(1, constant(iota(Shape{5, 4, 1, 1})), "input 1 is [5, 4, 1, 1] for 6 channels");
  fails(1, constant(iota(Shape{5, 6, 1, 3})), "input 1 is [5, 6, 1, 3]");
  fails(1, constant(iota(Shape{5, 6})), "input 1 is [5, 6]");
  fails(1, absent(), "input 1 is missing");
  fails(2, constant(iota(Shape{6})), "input 2 is [6] for 5 rows");
  fails(3, constant(iota(Shape{7, 6, 1, 1})), "input 3 is [7, 6, 1, 1] for 5 channels");
  fails(4, constant(iota(Shape{1, 7})), "input 4 is [1, 7] for 7 rows");
}

TEST(SqueezeExcite, NamesAnActivationThatThereIsNot) {
  const std::vector<Operand> all = operands(variable(random_tensor(Shape{2, 6, 3, 3}, 1)));
  expect_error(ErrorKind::kModel, "'softplus'", [&] {
    run_op("SqueezeExcite", all, attrs({{"activation", std::string("softplus")}}));
  });
}

TEST(SqueezeExcite, CostsTheMeanAndBothProducts) {
  for (const bool has_bias : {true, false}) {
    const OneOp one("SqueezeExcite",
                    operands(variable(random_tensor(Shape{2, 6, 3, 4}, 1)), has_bias));
    const Cost cost = cost_of(one.graph, 0);
    const double biases = has_bias ? 5 + 7 : 0;
    EXPECT_EQ(cost.flop, 2 * 6 * 12 + 2 * (2 * 5 * 6 + 2 * 7 * 5 + biases));
    EXPECT_EQ(cost.bytes, 4 * (2 * 6 * 12 + 5 * 6 + 7 * 5 + biases + 2 * 7));
  }
}

}  // namespace
}  // namespace gacer
