// Convolutions, pooling and resizing: against direct sums, and in pieces of the batch.

#include <algorithm>
#include <cmath>

#include "ops/windows.h"
#include "tests/ops/op_runner.h"
#include "tests/support/expect_error.h"

namespace gacer {
namespace {

using namespace gacer::testing;  // NOLINT: test helpers

/// The largest difference, relative to the largest number.
double difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.shape(), b.shape());
  double worst = 0;
  double scale = 1e-30;
  for (std::size_t i = 0; i < a.data<float>().size(); ++i) {
    worst = std::max(worst, std::abs(double{a.data<float>()[i]} - double{b.data<float>()[i]}));
    scale = std::max(scale, std::abs(double{b.data<float>()[i]}));
  }
  return worst / scale;
}

/// A 2-d convolution by its definition, in double precision.
Tensor direct_conv(const Tensor& x, const Tensor& w, const Tensor& bias, const Node& node) {
  const Windows windows = conv_windows(node, x.shape(), w.shape());
  const std::int64_t group = node.attributes.get_int("group", 1);
  const Shape& in = x.shape();
  const std::int64_t channels = w.shape()[1];
  Tensor y(DType::kF32, image_shape(in[0], w.shape()[0], windows.out));
  const auto at = [](const Tensor& t, std::int64_t a, std::int64_t b, std::int64_t c,
                     std::int64_t d) {
    const Shape& s = t.shape();
    return double{
        t.data<float>()[static_cast<std::size_t>(((a * s[1] + b) * s[2] + c) * s[3] + d)]};
  };
  std::size_t next = 0;
  for (std::int64_t n = 0; n < in[0]; ++n)
    for (std::int64_t m = 0; m < w.shape()[0]; ++m)
      for (std::int64_t oy = 0; oy < windows.out[0]; ++oy)
        for (std::int64_t ox = 0; ox < windows.out[1]; ++ox) {
          double sum = double{bias.data<float>()[static_cast<std::size_t>(m)]};
          for (std::int64_t c = 0; c < channels; ++c)
            for (std::int64_t ky = 0; ky < windows.kernel[0]; ++ky)
              for (std::int64_t kx = 0; kx < windows.kernel[1]; ++kx) {
                const std::int64_t iy =
                    oy * windows.strides[0] - windows.pads_begin[0] + ky * windows.dilations[0];
                const std::int64_t ix =
                    ox * windows.strides[1] - windows.pads_begin[1] + kx * windows.dilations[1];
                if (iy < 0 || ix < 0 || iy >= in[2] || ix >= in[3]) continue;
                const std::int64_t source = m / (w.shape()[0] / group) * channels + c;
                sum += at(x, n, source, iy, ix) * at(w, m, c, ky, kx);
              }
          y.mutable_data<float>()[next++] = static_cast<float>(sum);
        }
  return y;
}

struct ConvCase {
  std::int64_t channels, filters, group, height, width, kernel_h, kernel_w;
  Ints strides, dilations, pads;
};

TEST(Conv, EqualsTheDirectSum) {
  const std::vector<ConvCase> cases{
      {3, 8, 1, 9, 40, 3, 3, {1, 1}, {1, 1}, {1, 1, 1, 1}},
      {8, 16, 1, 7, 7, 1, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}},
      {6, 6, 6, 12, 33, 5, 5, {1, 1}, {1, 1}, {2, 2, 2, 2}},
      {6, 12, 3, 11, 10, 3, 2, {2, 3}, {1, 2}, {0, 1, 2, 1}},
      {4, 5, 1, 20, 20, 3, 3, {1, 1}, {3, 3}, {3, 3, 3, 3}},
      {1, 1, 1, 1, 64, 1, 7, {1, 2}, {1, 1}, {0, 3, 0, 3}},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const ConvCase& c = cases[i];
    const auto seed = static_cast<unsigned>(i);
    const Tensor x = random_tensor(Shape{2, c.channels, c.height, c.width}, seed);
    const Tensor w =
        random_tensor(Shape{c.filters, c.channels / c.group, c.kernel_h, c.kernel_w}, seed + 50);
    const Tensor bias = random_tensor(Shape{c.filters}, seed + 100);
    const Attributes attributes = attrs(
        {{"group", c.group}, {"strides", c.strides}, {"dilations", c.dilations}, {"pads", c.pads}});
    const OneOp one("Conv", {variable(x), constant(w), constant(bias)}, attributes);
    EXPECT_LT(difference(one.run()[0], direct_conv(x, w, bias, one.graph.node(0))), 1e-5)
        << "case " << i;
  }
}

TEST(Conv, OneAndThreeSpatialAxesAgreeWithTwo) {
  const Tensor x = random_tensor(Shape{2, 3, 1, 30}, 1);
  const Tensor w = random_tensor(Shape{4, 3, 1, 5}, 2);
  const auto run = [&](const Shape& x_shape, const Shape& w_shape) {
    return values_of(
        run_op("Conv", {variable(x.reshaped(x_shape)), constant(w.reshaped(w_shape))})[0]);
  };
  const auto expected = run(x.shape(), w.shape());
  EXPECT_EQ(run(Shape{2, 3, 30}, Shape{4, 3, 5}), expected);
  EXPECT_EQ(run(Shape{2, 3, 1, 1, 30}, Shape{4, 3, 1, 1, 5}), expected);
}

TEST(AffineConv, IsAConvolutionOfTheScaledImage) {
  const Tensor x = random_tensor(Shape{4, 3, 7, 6}, 1);
  const Tensor w = random_tensor(Shape{5, 3, 3, 3}, 2);
  const Tensor bias = random_tensor(Shape{5}, 3);
  const Tensor scale = random_tensor(Shape{3}, 4);
  const Tensor shift = random_tensor(Shape{3}, 5);
  for (const std::int64_t relu : {0, 1}) {
    Tensor scaled(DType::kF32, x.shape());
    for (std::size_t i = 0; i < scaled.data<float>().size(); ++i) {
      const std::size_t c = i / 42 % 3;
      const float value = x.data<float>()[i] * scale.data<float>()[c] + shift.data<float>()[c];
      scaled.mutable_data<float>()[i] = relu == 1 ? std::max(value, 0.0F) : value;
    }
    const Attributes pads = attrs({{"pads", Ints{1, 1, 1, 1}}});
    const OneOp conv("Conv", {variable(scaled), constant(w), constant(bias)}, pads);
    const Attributes attributes = attrs({{"pads", Ints{1, 1, 1, 1}}, {"relu", relu}});
    EXPECT_LT(difference(run_op("AffineConv",
                                {variable(x), constant(w), constant(bias), constant(scale),
                                 constant(shift)},
                                attributes)[0],
                         conv.run()[0]),
              1e-6);
    expect_split_is_whole("AffineConv",
                          {batched(x), constant(w), absent(), constant(scale), constant(shift)},
                          attributes, 4, {0, 1});
  }
}

TEST(Conv, PartsOfTheBatchEqualTheWhole) {
  expect_split_is_whole(
      "Conv",
      {batched(random_tensor(Shape{4, 3, 9, 9}, 1)), constant(random_tensor(Shape{5, 3, 3, 3}, 2)),
       constant(random_tensor(Shape{5}, 3))},
      attrs({{"pads", Ints{1, 1, 1, 1}}}), 4, {0, 1});
  // Two images an item.
  expect_split_is_whole("Conv",
                        {batched(random_tensor(Shape{6, 2, 5, 5}, 1), 0, 2),
                         constant(random_tensor(Shape{2, 2, 3, 3}, 2))},
                        {}, 3, {0, 2});
  expect_refused("Conv",
                 {batched(random_tensor(Shape{2, 4, 5, 5}, 1), 1, 1),
                  constant(random_tensor(Shape{2, 4, 3, 3}, 2))},
                 {}, 4, "axis");
}

TEST(Conv, AppliesPostOpsInOrder) {
  OneOp one("Conv", {variable(random_tensor(Shape{1, 3, 6, 6}, 1)),
                     constant(random_tensor(Shape{4, 3, 1, 1}, 2))});
  const Tensor plain = one.run()[0];
  const Tensor residual = random_tensor(Shape{1, 4, 1, 1}, 3);
  Node& node = one.graph.node(0);
  node.inputs.push_back(one.graph.add_constant("residual", residual));
  node.post = {PostOp{.kind = PostOp::Kind::kAdd, .input = 2},
               PostOp{.activation = Activation::kRelu}};
  const Tensor fused = one.run()[0];
  for (std::size_t i = 0; i < 4 * 36; ++i)
    EXPECT_EQ(fused.data<float>()[i],
              std::max(0.0F, plain.data<float>()[i] + residual.data<float>()[i / 36]));
}

TEST(Conv, NamesTheShapesThatDoNotAgree) {
  expect_error(ErrorKind::kModel, "[4, 2, 3, 3]", [] {
    run_op("Conv", {variable(iota(Shape{1, 3, 8, 8})), constant(iota(Shape{4, 2, 3, 3}))});
  });
  expect_error(ErrorKind::kModel, "does not fit", [] {
    run_op("Conv", {variable(iota(Shape{1, 2, 2, 8})), constant(iota(Shape{4, 2, 3, 3}))});
  });
}

TEST(Conv, HalfPrecisionIsNearFloat) {
  SerialTeam alone;
  const Tensor x = random_tensor(Shape{1, 3, 8, 8}, 1, -1, 1);
  const Tensor w = random_tensor(Shape{4, 3, 3, 3}, 2, -1, 1);
  const auto half = [&](const Tensor& tensor) {
    Tensor to(DType::kF16, tensor.shape());
    convert_floats(TensorView::of(tensor), TensorView::of(to), alone);
    return to;
  };
  const Tensor expected = run_op("Conv", {variable(x), constant(w)})[0];
  const Tensor actual = run_op("Conv", {variable(half(x)), constant(half(w))})[0];
  ASSERT_EQ(actual.dtype(), DType::kF16);
  Tensor wide(DType::kF32, actual.shape());
  convert_floats(TensorView::of(actual), TensorView::of(wide), alone);
  EXPECT_LT(difference(wide, expected), 2e-2);
}

/// <conv(x), y> = <x, conv_transpose(y)>: one is the other's adjoint.
TEST(ConvTranspose, IsTheAdjointOfConv) {
  const Attributes attributes =
      attrs({{"strides", Ints{2, 1}}, {"pads", Ints{1, 0, 1, 1}}, {"group", std::int64_t{2}}});
  const Tensor x = random_tensor(Shape{2, 4, 9, 8}, 1);
  const Tensor w = random_tensor(Shape{6, 2, 3, 3}, 2);
  const Tensor conv = run_op("Conv", {variable(x), constant(w)}, attributes)[0];
  const Tensor y = random_tensor(conv.shape(), 3);
  const Tensor back = run_op("ConvTranspose", {variable(y), constant(w)}, attributes)[0];
  ASSERT_EQ(back.shape(), x.shape());
  const auto dot = [](const Tensor& a, const Tensor& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.data<float>().size(); ++i)
      sum += double{a.data<float>()[i]} * double{b.data<float>()[i]};
    return sum;
  };
  EXPECT_NEAR(dot(conv, y), dot(x, back), 1e-4 * std::abs(dot(conv, y)) + 1e-2);
}

TEST(ConvTranspose, PartsOfTheBatchEqualTheWhole) {
  expect_split_is_whole(
      "ConvTranspose",
      {batched(random_tensor(Shape{3, 4, 5, 5}, 1)), constant(random_tensor(Shape{4, 3, 2, 2}, 2)),
       constant(random_tensor(Shape{3}, 3))},
      attrs({{"strides", Ints{2, 2}}}), 3, {0, 1});
}

TEST(Pool, PartsOfTheBatchEqualTheWhole) {
  const Tensor x = random_tensor(Shape{4, 3, 9, 9}, 1);
  const Attributes attributes = attrs({{"kernel_shape", Ints{3, 3}},
                                       {"strides", Ints{2, 2}},
                                       {"pads", Ints{1, 1, 1, 1}},
                                       {"ceil_mode", std::int64_t{1}}});
  for (const char* op : {"MaxPool", "AveragePool", "LpPool"})
    expect_split_is_whole(op, {batched(x)}, attributes, 4, {0, 1});
  for (const char* op : {"GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"})
    expect_split_is_whole(op, {batched(x)}, {}, 4, {0, 1});
}

TEST(Pool, MaxPoolWithIndicesIsNotSplit) {
  const OneOp one("MaxPool", {batched(random_tensor(Shape{2, 3, 8, 8}, 1))},
                  attrs({{"kernel_shape", Ints{2, 2}}}), 2, 0, 2);
  const auto splittable = is_splittable(one.graph, 0);
  ASSERT_FALSE(splittable.ok());
  EXPECT_NE(splittable.reason().find("Indices"), std::string::npos);
}

TEST(Pool, AverageOfAConstantIsTheConstantWithoutPadding) {
  const Tensor ones = floats(Shape{1, 1, 3, 3}, {1, 1, 1, 1, 1, 1, 1, 1, 1});
  const auto average = [&](std::int64_t counts_padding) {
    return values_of(run_op("AveragePool", {variable(ones)},
                            attrs({{"kernel_shape", Ints{3, 3}},
                                   {"pads", Ints{1, 1, 1, 1}},
                                   {"count_include_pad", counts_padding}}))[0]);
  };
  EXPECT_EQ(average(0), std::vector<float>(9, 1.0F));
  EXPECT_FLOAT_EQ(average(1)[0], 4.0F / 9.0F);
  EXPECT_FLOAT_EQ(average(1)[4], 1.0F);
}

TEST(Pool, NoNumbersWin) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto window = attrs({{"kernel_shape", Ints{2, 2}}});
  for (int at = 0; at < 4; ++at) {
    std::vector<float> values = {1, 2, 3, 4};
    values[static_cast<std::size_t>(at)] = nan;
    const Tensor x = Tensor::from<float>(Shape{1, 1, 2, 2}, values);
    EXPECT_TRUE(std::isnan(values_of(run_op("MaxPool", {variable(x)}, window)[0])[0])) << at;
    EXPECT_TRUE(std::isnan(values_of(run_op("GlobalMaxPool", {variable(x)}, {})[0])[0])) << at;
  }
}

TEST(Pool, CeilModeDropsWindowsThatBeginInThePadding) {
  const OneOp one("MaxPool", {variable(iota(Shape{1, 1, 2, 2}))},
                  attrs({{"kernel_shape", Ints{1, 1}},
                         {"strides", Ints{2, 2}},
                         {"pads", Ints{0, 0, 1, 1}},
                         {"ceil_mode", std::int64_t{1}}}));
  EXPECT_EQ(one.output().shape, (Shape{1, 1, 1, 1}));
}

TEST(Resize, PartsOfTheBatchEqualTheWhole) {
  const Tensor x = random_tensor(Shape{3, 2, 5, 6}, 1);
  for (const char* mode : {"nearest", "linear", "cubic"}) {
    const Attributes attributes = attrs({{"mode", std::string(mode)}});
    expect_split_is_whole("Resize",
                          {batched(x), absent(), constant(floats(Shape{4}, {1, 1, 2, 1.5F}))},
                          attributes, 3, {0, 1});
    expect_split_is_whole("Resize", {batched(x), absent(), absent(), constant(ints({3, 2, 9, 4}))},
                          attributes, 3, {0, 1});
  }
  expect_refused("Resize", {batched(x), absent(), constant(floats(Shape{4}, {2, 1, 1, 1}))}, {}, 3,
                 "axis 0");
}

TEST(Resize, UpsampleOfOpset9RepeatsPixels) {
  const Tensor x = floats(Shape{1, 1, 1, 2}, {1, 2});
  const auto y = run_op("Upsample", {variable(x), constant(floats(Shape{4}, {1, 1, 2, 2}))},
                        attrs({{"mode", std::string("nearest")}}), 1, 9);
  EXPECT_EQ(values_of(y[0]), (std::vector<float>{1, 1, 2, 2, 1, 1, 2, 2}));
}

TEST(Resize, LinearKeepsALinearRamp) {
  const Tensor x = iota(Shape{1, 1, 1, 8});
  const auto y = values_of(
      run_op("Resize", {variable(x), absent(), absent(), constant(ints({1, 1, 1, 15}))},
             attrs({{"mode", std::string("linear")},
                    {"coordinate_transformation_mode", std::string("align_corners")}}))[0]);
  for (std::size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y[i], 0.5F * static_cast<float>(i), 1e-5);
}

TEST(Cost, OfAConvolutionCountsMultiplyAddsTwice) {
  const OneOp one("Conv", {variable(iota(Shape{2, 3, 8, 8})), constant(iota(Shape{5, 3, 3, 3}))},
                  attrs({{"pads", Ints{1, 1, 1, 1}}}));
  const Cost cost = cost_of(one.graph, 0);
  EXPECT_EQ(cost.flop, 2.0 * 2 * 5 * 64 * 27);
  EXPECT_EQ(cost.bytes, 4.0 * (2 * 3 * 64 + 5 * 27 + 2 * 5 * 64));
}

}  // namespace
}  // namespace gacer
