// Matrix products, attention, normalizations, softmax, recurrent cells, quantization.

#include <cmath>

#include "tests/ops/op_runner.h"
#include "tests/support/expect_error.h"

namespace gacer {
namespace {

using namespace gacer::testing;  // NOLINT: test helpers

void expect_near(const Tensor& actual, const Tensor& expected, double tolerance = 1e-5) {
  ASSERT_EQ(actual.shape(), expected.shape());
  double scale = 1e-30;
  for (const float value : expected.data<float>()) scale = std::max(scale, std::abs(double{value}));
  for (std::size_t i = 0; i < expected.data<float>().size(); ++i)
    ASSERT_NEAR(actual.data<float>()[i], expected.data<float>()[i], tolerance * scale) << i;
}

Attributes equation(const char* text) { return attrs({{"equation", std::string(text)}}); }

TEST(MatMul, EqualsEinsum) {
  const Tensor a = random_tensor(Shape{2, 3, 7, 33}, 1);
  const Tensor b = random_tensor(Shape{3, 33, 19}, 2);
  expect_near(run_op("MatMul", {variable(a), variable(b)})[0],
              run_op("Einsum", {variable(a), variable(b)}, equation("bhik,hkj->bhij"))[0]);
}

TEST(MatMul, TakesVectorsOnEitherSide) {
  const Tensor matrix = random_tensor(Shape{4, 5, 6}, 1);
  const Tensor left = random_tensor(Shape{5}, 2);
  const Tensor right = random_tensor(Shape{6}, 3);
  expect_near(run_op("MatMul", {variable(left), variable(matrix)})[0],
              run_op("Einsum", {variable(left), variable(matrix)}, equation("i,bij->bj"))[0]);
  expect_near(run_op("MatMul", {variable(matrix), variable(right)})[0],
              run_op("Einsum", {variable(matrix), variable(right)}, equation("bij,j->bi"))[0]);
}

TEST(MatMul, PartsOfTheBatchEqualTheWhole) {
  const Tensor weight = random_tensor(Shape{6, 17}, 1);
  // Rows of a matrix, an outer axis, both factors, columns of the right factor.
  expect_split_is_whole("MatMul", {batched(random_tensor(Shape{4, 6}, 2)), constant(weight)}, {}, 4,
                        {0, 1});
  expect_split_is_whole("MatMul", {batched(random_tensor(Shape{4, 5, 6}, 2)), constant(weight)}, {},
                        4, {0, 1});
  expect_split_is_whole("MatMul", {batched(random_tensor(Shape{8, 6}, 2), 0, 2), constant(weight)},
                        {}, 4, {0, 2});
  expect_split_is_whole(
      "MatMul",
      {batched(random_tensor(Shape{3, 2, 5, 6}, 2)), batched(random_tensor(Shape{3, 2, 6, 4}, 3))},
      {}, 3, {0, 1});
  expect_split_is_whole(
      "MatMul",
      {constant(random_tensor(Shape{5, 6}, 2)), batched(random_tensor(Shape{3, 6, 4}, 3))}, {}, 3,
      {0, 1});
  expect_split_is_whole(
      "MatMul",
      {constant(random_tensor(Shape{5, 6}, 2)), batched(random_tensor(Shape{6, 20}, 3), 1, 1)}, {},
      20, {1, 1});
  expect_split_is_whole(
      "MatMul", {batched(random_tensor(Shape{4, 5, 6}, 2)), constant(random_tensor(Shape{6}, 3))},
      {}, 4, {0, 1});
}

TEST(MatMul, IsNotSplitAlongTheSum) {
  expect_refused(
      "MatMul",
      {batched(random_tensor(Shape{5, 4}, 1), 1, 1), constant(random_tensor(Shape{4, 6}, 2))}, {},
      4, "sums over");
  expect_refused(
      "MatMul",
      {batched(random_tensor(Shape{4, 5, 6}, 1)), variable(random_tensor(Shape{4, 6, 2}, 2))}, {},
      4, "does not carry the batch");
}

TEST(Gemm, EqualsEinsumForEveryTransposition) {
  const Tensor a = random_tensor(Shape{5, 9}, 1);
  const Tensor b = random_tensor(Shape{9, 21}, 2);
  const Tensor at = run_op("Einsum", {variable(a)}, equation("ij->ji"))[0];
  const Tensor bt = run_op("Einsum", {variable(b)}, equation("ij->ji"))[0];
  const Tensor expected = run_op("MatMul", {variable(a), variable(b)})[0];
  for (const std::int64_t trans_a : {0, 1})
    for (const std::int64_t trans_b : {0, 1})
      expect_near(run_op("Gemm", {variable(trans_a != 0 ? at : a), variable(trans_b != 0 ? bt : b)},
                         attrs({{"transA", trans_a}, {"transB", trans_b}}))[0],
                  expected);
}

TEST(Gemm, PartsOfTheBatchEqualTheWhole) {
  const Tensor w = random_tensor(Shape{6, 8}, 1);
  const Attributes attributes = attrs({{"alpha", 0.5F}, {"beta", 2.0F}});
  expect_split_is_whole(
      "Gemm",
      {batched(random_tensor(Shape{4, 6}, 2)), constant(w), constant(random_tensor(Shape{8}, 3))},
      attributes, 4, {0, 1});
  expect_split_is_whole(
      "Gemm",
      {batched(random_tensor(Shape{4, 6}, 2)), constant(w), batched(random_tensor(Shape{4, 1}, 3))},
      attributes, 4, {0, 1});
  expect_refused("Gemm",
                 {batched(random_tensor(Shape{4, 6}, 2)), constant(w),
                  constant(random_tensor(Shape{4, 8}, 3))},
                 attributes, 4, "addend");
}

TEST(Linear, EqualsMatMulWithBias) {
  const Tensor x = random_tensor(Shape{2, 3, 10}, 1);
  const Tensor w = random_tensor(Shape{10, 18}, 2);
  const Tensor bias = random_tensor(Shape{18}, 3);
  const Tensor product = run_op("MatMul", {variable(x), variable(w)})[0];
  const Tensor expected = run_op("Add", {variable(product), variable(bias)})[0];
  EXPECT_TRUE(
      same_bytes(run_op("Linear", {variable(x), constant(w), constant(bias)})[0], expected));
  const Tensor wt = run_op("Einsum", {variable(w)}, equation("ij->ji"))[0];
  EXPECT_TRUE(same_bytes(run_op("Linear", {variable(x), constant(wt), constant(bias)},
                                attrs({{"transB", std::int64_t{1}}}))[0],
                         expected));
  for (const int axis : {0, 1})
    expect_split_is_whole("Linear", {batched(x, axis, 1), constant(w), constant(bias)}, {},
                          x.shape()[axis], {axis, 1});
}

/// Softmax(scale * q kᵀ + mask) v by other operators.
Tensor plain_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                       float scale) {
  const Tensor scores =
      run_op("Einsum", {variable(q), variable(k)}, equation("bhsd,bhtd->bhst"))[0];
  const Tensor scaled = run_op("Mul", {variable(scores), variable(Tensor::scalar(scale))})[0];
  const Tensor masked = run_op("Add", {variable(scaled), variable(mask)})[0];
  return run_op("MatMul", {variable(run_op("Softmax", {variable(masked)})[0]), variable(v)})[0];
}

TEST(Attention, EqualsItsPartsInBothLayouts) {
  const Tensor q = random_tensor(Shape{2, 3, 5, 4}, 1);
  const Tensor k = random_tensor(Shape{2, 3, 7, 4}, 2);
  const Tensor v = random_tensor(Shape{2, 3, 7, 6}, 3);
  const Tensor mask = random_tensor(Shape{2, 1, 1, 7}, 4);
  const Tensor expected = plain_attention(q, k, v, mask, 0.5F);
  expect_near(run_op("Attention", {variable(q), variable(k), variable(v), variable(mask)},
                     attrs({{"scale", 0.5F}}))[0],
              expected);
  const Tensor kt = run_op("Einsum", {variable(k)}, equation("bhtd->bhdt"))[0];
  expect_near(run_op("Attention", {variable(q), variable(kt), variable(v), variable(mask)},
                     attrs({{"scale", 0.5F}, {"k_transposed", std::int64_t{1}}}))[0],
              expected);
  const auto flat = [](const Tensor& tensor) {
    const Tensor swapped = run_op("Einsum", {variable(tensor)}, equation("bhsd->bshd"))[0];
    const Shape& s = swapped.shape();
    return swapped.reshaped(Shape{s[0], s[1], s[2] * s[3]});
  };
  expect_near(
      run_op("Attention", {variable(flat(q)), variable(flat(k)), variable(flat(v)), variable(mask)},
             attrs({{"scale", 0.5F},
                    {"layout", std::string("bshd")},
                    {"num_heads", std::int64_t{3}}}))[0],
      flat(expected));
}

TEST(Attention, CausalHidesLaterKeys) {
  const Tensor q = random_tensor(Shape{1, 2, 4, 3}, 1);
  const Tensor k = random_tensor(Shape{1, 2, 4, 3}, 2);
  const Tensor v = random_tensor(Shape{1, 2, 4, 3}, 3);
  Tensor mask(DType::kF32, Shape{4, 4});
  for (std::int64_t i = 0; i < 16; ++i)
    mask.mutable_data<float>()[static_cast<std::size_t>(i)] = i % 4 > i / 4 ? -1e9F : 0.0F;
  expect_near(run_op("Attention", {variable(q), variable(k), variable(v)},
                     attrs({{"causal", std::int64_t{1}}}))[0],
              plain_attention(q, k, v, mask, 1.0F));
}

TEST(Attention, PartsOfTheBatchEqualTheWhole) {
  const Tensor x = random_tensor(Shape{3, 2, 4, 5}, 1);
  expect_split_is_whole(
      "Attention",
      {batched(x), batched(random_tensor(x.shape(), 2)), batched(random_tensor(x.shape(), 3)),
       batched(random_tensor(Shape{3, 1, 1, 4}, 4))},
      {}, 3, {0, 1});
  expect_refused("Attention", {batched(x), variable(x), batched(x)}, {}, 3, "input 1");
}

TEST(Softmax, RowsSumToOneAndLogSoftmaxIsItsLogarithm) {
  const Tensor x = random_tensor(Shape{3, 4, 5}, 1, -50, 50);
  for (const std::int64_t axis : {0, 1, -1}) {
    const Tensor y = run_op("Softmax", {variable(x)}, attrs({{"axis", axis}}))[0];
    const Tensor sums = run_op("ReduceSum", {variable(y), constant(ints({axis}))})[0];
    for (const float sum : sums.data<float>()) EXPECT_NEAR(sum, 1.0F, 1e-5);
    const Tensor log = run_op("LogSoftmax", {variable(x)}, attrs({{"axis", axis}}))[0];
    expect_near(run_op("Exp", {variable(log)})[0], y, 1e-4);
  }
}

TEST(Softmax, BeforeOpset13AxesWereFlattened) {
  const Tensor x = random_tensor(Shape{2, 3, 4}, 1);
  const Tensor flat = run_op("Softmax", {variable(x.reshaped(Shape{2, 12}))})[0];
  EXPECT_TRUE(
      same_bytes(OneOp("Softmax", {variable(x)}, {}, 1, 11).run()[0], flat.reshaped(x.shape())));
}

TEST(Softmax, IsSplitOnlyBesideItsAxis) {
  const Tensor x = random_tensor(Shape{4, 3, 5}, 1);
  expect_split_is_whole("Softmax", {batched(x)}, {}, 4, {0, 1});
  expect_refused("Softmax", {batched(x)}, attrs({{"axis", std::int64_t{0}}}), 4, "axis 0");
}

TEST(Normalization, PartsOfTheBatchEqualTheWhole) {
  const Tensor x = random_tensor(Shape{3, 4, 5, 6}, 1);
  const Operand scale = constant(random_tensor(Shape{4}, 2));
  const Operand bias = constant(random_tensor(Shape{4}, 3));
  const Operand variance = constant(random_tensor(Shape{4}, 4, 0.5, 2));
  expect_split_is_whole("BatchNormalization", {batched(x), scale, bias, bias, variance}, {}, 3,
                        {0, 1});
  expect_split_is_whole("InstanceNormalization", {batched(x), scale, bias}, {}, 3, {0, 1});
  expect_split_is_whole("GroupNormalization", {batched(x), scale, bias},
                        attrs({{"num_groups", std::int64_t{2}}}), 3, {0, 1});
  expect_split_is_whole("LRN", {batched(x)}, attrs({{"size", std::int64_t{3}}}), 3, {0, 1});
  const Operand last = constant(random_tensor(Shape{6}, 5));
  expect_split_is_whole("LayerNormalization", {batched(x), last, last}, {}, 3, {0, 1}, 3);
  expect_split_is_whole("RMSNormalization", {batched(x), last}, {}, 3, {0, 1});
  expect_refused("LayerNormalization", {batched(x), constant(random_tensor(x.shape(), 5))},
                 attrs({{"axis", std::int64_t{0}}}), 3, "axis 0");
}

TEST(Normalization, GroupsPerItemBeforeOpset21) {
  const Tensor x = random_tensor(Shape{2, 4, 3}, 1);
  const Attributes attributes = attrs({{"num_groups", std::int64_t{2}}});
  const Tensor old =
      OneOp("GroupNormalization",
            {variable(x), constant(floats(Shape{2}, {2, 3})), constant(floats(Shape{2}, {-1, 1}))},
            attributes, 1, 18)
          .run()[0];
  const Tensor now = run_op("GroupNormalization",
                            {variable(x), constant(floats(Shape{4}, {2, 2, 3, 3})),
                             constant(floats(Shape{4}, {-1, -1, 1, 1}))},
                            attributes)[0];
  EXPECT_TRUE(same_bytes(old, now));
}

struct RecurrentCase {
  const char* op;
  std::int64_t gates;
};

/// Operands X, W, R, B, sequence_lens and the initial states for a batch of 4.
std::vector<Operand> recurrent_operands(const RecurrentCase& c, int directions, bool batch_first) {
  const std::int64_t steps = 5, batch = 4, inputs = 3, hidden = 6;
  const Shape x = batch_first ? Shape{batch, steps, inputs} : Shape{steps, batch, inputs};
  const Shape state =
      batch_first ? Shape{batch, directions, hidden} : Shape{directions, batch, hidden};
  const std::int64_t rows = c.gates * hidden;
  const int axis = batch_first ? 0 : 1;
  std::vector<Operand> operands{batched(random_tensor(x, 1), axis, 1),
                                constant(random_tensor(Shape{directions, rows, inputs}, 2, -1, 1)),
                                constant(random_tensor(Shape{directions, rows, hidden}, 3, -1, 1)),
                                constant(random_tensor(Shape{directions, 2 * rows}, 4, -1, 1)),
                                batched(Tensor::from<std::int32_t>(Shape{batch}, {5, 2, 4, 1})),
                                batched(random_tensor(state, 5, -1, 1), axis, 1)};
  if (c.gates == 4) operands.push_back(batched(random_tensor(state, 6, -1, 1), axis, 1));
  return operands;
}

constexpr RecurrentCase kCells[] = {{"LSTM", 4}, {"GRU", 3}, {"RNN", 1}};

/// For the batch of 4 that recurrent_operands() gives.
std::vector<Tensor> run_cell(const char* op, std::vector<Operand> operands, Attributes attributes,
                             int num_outputs = 1) {
  return OneOp(op, std::move(operands), std::move(attributes), num_outputs, 0, 4).run();
}

TEST(Recurrent, PartsOfTheBatchEqualTheWhole) {
  for (const RecurrentCase& c : kCells)
    for (const std::int64_t layout : {0, 1})
      for (const char* direction : {"forward", "reverse", "bidirectional"}) {
        const int directions = direction[0] == 'b' ? 2 : 1;
        expect_split_is_whole(c.op, recurrent_operands(c, directions, layout == 1),
                              attrs({{"layout", layout}, {"direction", std::string(direction)}}), 4,
                              {layout == 1 ? 0 : 2, 1}, c.gates == 4 ? 3 : 2);
      }
}

TEST(Recurrent, BidirectionalIsForwardBesideReverse) {
  for (const RecurrentCase& c : kCells) {
    const std::vector<Operand> both = recurrent_operands(c, 2, false);
    const Tensor y =
        run_cell(c.op, both, attrs({{"direction", std::string("bidirectional")}}), 2)[0];
    for (const int direction : {0, 1}) {
      std::vector<Operand> one = both;
      // Weights and states have the direction first.
      for (const std::size_t i : {1U, 2U, 3U, 5U, 6U})
        if (i < one.size())
          one[i].tensor = OneOp::slice(one[i].tensor, BatchAxis{0, 1}, direction, direction + 1);
      const Tensor own = run_cell(
          c.op, one, attrs({{"direction", std::string(direction == 0 ? "forward" : "reverse")}}),
          2)[0];
      EXPECT_TRUE(same_bytes(own, OneOp::slice(y, BatchAxis{1, 1}, direction, direction + 1)))
          << c.op << " direction " << direction;
    }
  }
}

TEST(Recurrent, LastStateIsTheOutputOfTheLastStep) {
  for (const RecurrentCase& c : kCells) {
    std::vector<Operand> operands = recurrent_operands(c, 1, false);
    operands[4] = absent();
    const auto outputs = run_cell(c.op, operands, {}, 2);
    const Tensor last = OneOp::slice(outputs[0], BatchAxis{0, 1}, 4, 5);
    EXPECT_EQ(values_of(last), values_of(outputs[1])) << c.op;
  }
}

TEST(Recurrent, StepsAfterTheEndOfASequenceAreZero) {
  const auto outputs = run_cell("LSTM", recurrent_operands(kCells[0], 1, false), {}, 3);
  const auto y = outputs[0].data<float>();  // [5, 1, 4, 6]; item 3 has one step
  for (std::size_t t = 1; t < 5; ++t)
    for (std::size_t j = 0; j < 6; ++j) EXPECT_EQ(y[(t * 4 + 3) * 6 + j], 0.0F);
}

TEST(Recurrent, RefusesUnknownActivations) {
  expect_error(ErrorKind::kUnsupported, "Wobble", [] {
    run_cell("RNN", recurrent_operands(kCells[2], 1, false),
             attrs({{"activations", std::vector<std::string>{"Wobble"}}}));
  });
}

TEST(Recurrent, ActivationsTakeTheirParametersOneAfterTheOther) {
  // Sigmoid takes none: the one number is the LeakyRelu's.
  const Tensor x = floats(Shape{1, 1, 1}, {1});
  const Tensor w = floats(Shape{1, 3, 1}, {0, 0, -1});
  const Tensor r = floats(Shape{1, 3, 1}, {0, 0, 0});
  const auto y = OneOp("GRU", {variable(x), constant(w), constant(r)},
                       attrs({{"activations", std::vector<std::string>{"Sigmoid", "LeakyRelu"}},
                              {"activation_alpha", std::vector<float>{0.5F}}}))
                     .run();
  EXPECT_FLOAT_EQ(values_of(y[0])[0], -0.25F);
}

TEST(Recurrent, IsNotSplitAlongTime) {
  std::vector<Operand> operands = recurrent_operands(kCells[0], 1, false);
  operands.resize(4);
  operands[0].batch = BatchAxis{0, 1};
  expect_refused("LSTM", operands, {}, 5, "axis 0");
}

TEST(Quantize, DequantizingGivesBackWithinAStep) {
  const Tensor x = random_tensor(Shape{4, 3, 5}, 1);
  const Operand scale = constant(floats(Shape{3}, {0.05F, 0.1F, 0.2F}));
  const Operand zero = constant(Tensor::from<std::int8_t>(Shape{3}, {0, -3, 5}));
  const Tensor q = run_op("QuantizeLinear", {variable(x), scale, zero})[0];
  ASSERT_EQ(q.dtype(), DType::kI8);
  const Tensor y = run_op("DequantizeLinear", {variable(q), scale, zero})[0];
  for (std::size_t i = 0; i < 60; ++i) {
    const float step = scale.tensor.data<float>()[i / 5 % 3];
    EXPECT_NEAR(y.data<float>()[i], x.data<float>()[i], 0.5F * step + 1e-6F);
  }
  expect_split_is_whole("QuantizeLinear", {batched(x), scale, zero}, {}, 4, {0, 1});
  expect_split_is_whole("DequantizeLinear", {batched(q), scale, zero}, {}, 4, {0, 1});
  expect_refused("QuantizeLinear", {batched(x, 1, 1), scale, zero}, {}, 3, "differs along axis 1");
}

TEST(Quantize, IntegerProductSubtractsZeroPoints) {
  const Tensor a = random_tensor<std::uint8_t>(Shape{3, 4, 6}, 1, 0, 255);
  const Tensor b = random_tensor<std::int8_t>(Shape{6, 5}, 2, -128, 127);
  const Operand zero_a = constant(Tensor::scalar<std::uint8_t>(120));
  const Operand zero_b = constant(Tensor::scalar<std::int8_t>(-7));
  const Tensor y = run_op("MatMulInteger", {variable(a), constant(b), zero_a, zero_b})[0];
  std::size_t next = 0;
  for (std::size_t row = 0; row < 12; ++row)
    for (std::size_t column = 0; column < 5; ++column) {
      int sum = 0;
      for (std::size_t k = 0; k < 6; ++k)
        sum += (a.data<std::uint8_t>()[row * 6 + k] - 120) *
               (b.data<std::int8_t>()[k * 5 + column] + 7);
      EXPECT_EQ(y.data<std::int32_t>()[next++], sum);
    }
  expect_split_is_whole("MatMulInteger", {batched(a), constant(b), zero_a, zero_b}, {}, 3, {0, 1});
}

TEST(Einsum, PartsOfTheBatchEqualTheWhole) {
  const Tensor a = random_tensor(Shape{3, 4, 5}, 1);
  const Tensor b = random_tensor(Shape{3, 5, 2}, 2);
  expect_split_is_whole("Einsum", {batched(a), batched(b)}, equation("bij,bjk->kbi"), 3, {1, 1});
  expect_split_is_whole("Einsum", {batched(a), constant(random_tensor(Shape{5, 2}, 2))},
                        equation("...j,jk->...k"), 3, {0, 1});
  expect_refused("Einsum", {batched(a), batched(b)}, equation("bij,bjk->ik"), 3, "summed");
  expect_refused("Einsum", {batched(random_tensor(Shape{3, 4, 3}, 1), 2)}, equation("iji->ji"), 3,
                 "diagonal");
}

TEST(SmoothActivations, AgreeWithTheirPostOps) {
  const Tensor x = random_tensor(Shape{3, 50}, 1, -8, 8);
  const auto expect_activation = [&](const char* op, const Attributes& attributes,
                                     Activation activation) {
    Tensor expected(DType::kF32, x.shape());
    for (std::size_t i = 0; i < 150; ++i)
      expected.mutable_data<float>()[i] = apply(activation, x.data<float>()[i], 0, 0);
    expect_near(run_op(op, {variable(x)}, attributes)[0], expected, 1e-6);
    expect_split_is_whole(op, {batched(x)}, attributes, 3, {0, 1});
  };
  expect_activation("Gelu", {}, Activation::kGelu);
  expect_activation("Gelu", attrs({{"approximate", std::string("tanh")}}), Activation::kGeluTanh);
  expect_activation("HardSwish", {}, Activation::kHardSwish);
  expect_activation("Silu", {}, Activation::kSilu);
}

TEST(Reorder, CopiesTheValues) {
  const Tensor x = random_tensor(Shape{2, 3, 4, 4}, 1);
  EXPECT_TRUE(same_bytes(run_op("Reorder", {variable(x)})[0], x));
  expect_split_is_whole("Reorder", {batched(x)}, {}, 2, {0, 1});
}

}  // namespace
}  // namespace gacer
