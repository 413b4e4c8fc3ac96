#include <algorithm>

#include <gtest/gtest.h>

#include "graph_builder.h"
#include "passes/pass.h"

namespace gacer {
namespace {

using testing::attributes;
using testing::GraphBuilder;
using testing::Ops;
using testing::ops_of;
using testing::passed;
using testing::relative_error;

using Ints = std::vector<std::int64_t>;

PassOptions where_all_is_supported() {
  PassOptions options;
  options.is_supported = [](const Graph&, NodeId) { return true; };
  return options;
}

PassOptions without_fusion(PassOptions options) {
  options.disabled = {"fuse_squeeze_excite"};
  return options;
}

bool is_fused(const Graph& graph) {
  const Ops ops = ops_of(graph);
  return std::count(ops.begin(), ops.end(), "SqueezeExcite") > 0;
}

/// The pass does nothing, and leaves nothing behind.
void expect_kept(const GraphBuilder& builder,
                 const PassOptions& options = where_all_is_supported()) {
  EXPECT_EQ(print_graph(passed(builder, options)),
            print_graph(passed(builder, without_fusion(options))));
}

/// The passes' result computes what it does without the fusion.
void expect_same_numbers(GraphBuilder& builder, const PassOptions& options, double limit = 1e-5) {
  const std::vector<Tensor> inputs = builder.random_inputs();
  const std::vector<Tensor> fused = evaluate_graph(passed(builder, options), inputs);
  const std::vector<Tensor> apart =
      evaluate_graph(passed(builder, without_fusion(options)), inputs);
  ASSERT_EQ(fused.size(), apart.size());
  for (std::size_t i = 0; i < fused.size(); ++i) {
    ASSERT_EQ(fused[i].shape(), apart[i].shape());
    EXPECT_LT(relative_error(fused[i], apart[i]), limit);
  }
}

/// Images of a batch.
ValueId images(GraphBuilder& b, Shape shape) {
  b.graph.batch = shape[0];
  const ValueId x = b.input(std::move(shape));
  b.graph.value(x).batch = BatchAxis{0, 1};
  return x;
}

/// A convolution of one position, `extra` its attributes.
ValueId product(GraphBuilder& b, ValueId x, std::int64_t filters, bool has_bias = true,
                Attributes extra = {}) {
  const Shape& from = b.graph.value(x).shape;
  Ints dims(static_cast<std::size_t>(from.rank()), 1);
  dims[0] = filters;
  dims[1] = from[1] / extra.get_int("group", 1);
  std::vector<ValueId> inputs = {x, b.weights(Shape(dims), 0.3F)};
  if (has_bias) inputs.push_back(b.weights(Shape{filters}));
  return b.op("Conv", inputs, std::move(extra));
}

/// The mean over all positions, by the name that a model has for it.
ValueId mean(GraphBuilder& b, ValueId x, const std::string& op = "GlobalAveragePool") {
  if (op != "ReduceMean") return b.op(op, {x});
  // The axes from the end, the last one first.
  Ints axes;
  for (int axis = 2; axis < b.graph.value(x).shape.rank(); ++axis) axes.push_back(1 - axis);
  return b.op(op, {x, b.ints(axes)});
}

/// What follows the mean: 4 hidden numbers, and a gate a channel.
ValueId excite(GraphBuilder& b, ValueId x, std::int64_t channels, bool has_bias = true) {
  const ValueId hidden = b.op("Relu", {product(b, x, 4, has_bias)});
  return b.op("HardSigmoid", {product(b, hidden, channels, has_bias)},
              attributes({{"alpha", 0.25F}, {"beta", 0.5F}}));
}

TEST(FuseSqueezeExcite, MakesOneNodeOfThree) {
  for (const Shape& shape : {Shape{2, 6, 5, 4}, Shape{2, 6, 9}})
    for (const char* op : {"GlobalAveragePool", "ReduceMean"})
      for (const bool has_bias : {true, false}) {
        GraphBuilder b;
        const ValueId x = images(b, shape);
        b.output(excite(b, mean(b, x, op), 8, has_bias));
        const Graph graph = passed(b, where_all_is_supported());
        ASSERT_EQ(ops_of(graph), Ops{"SqueezeExcite"}) << print_graph(graph);
        const Node& node = graph.node(0);
        ASSERT_EQ(node.inputs.size(), 5U);
        EXPECT_EQ(node.num_op_inputs, 5);
        EXPECT_EQ(node.inputs[0], graph.inputs[0]);
        EXPECT_EQ(graph.value(node.inputs[1]).shape[0], 4);
        EXPECT_EQ(graph.value(node.inputs[3]).shape[0], 8);
        EXPECT_EQ(node.inputs[2] != kNone, has_bias);
        EXPECT_EQ(node.inputs[4] != kNone, has_bias);
        EXPECT_EQ(graph.value(node.outputs[0]).name, b.graph.value(b.graph.outputs[0]).name);
        expect_same_numbers(b, where_all_is_supported());
      }
}

TEST(FuseSqueezeExcite, KeepsTheActivations) {
  GraphBuilder b;
  b.output(excite(b, mean(b, images(b, {2, 6, 5, 4})), 8));
  const Graph graph = passed(b, where_all_is_supported());
  ASSERT_TRUE(is_fused(graph));
  const Node& node = graph.node(0);
  EXPECT_EQ(node.attributes.get_string("activation", ""), "relu");
  EXPECT_EQ(node.post,
            (std::vector<PostOp>{
                {.activation = Activation::kHardSigmoid, .alpha = 0.25F, .beta = 0.5F}}));

  GraphBuilder leaky;
  const ValueId hidden = product(leaky, mean(leaky, images(leaky, {2, 6, 5, 4})), 4);
  const ValueId y =
      product(leaky, leaky.op("LeakyRelu", {hidden}, attributes({{"alpha", 0.3F}})), 6);
  leaky.output(leaky.op("Tanh", {leaky.op("Relu", {y})}));
  const Graph other = passed(leaky, where_all_is_supported());
  ASSERT_EQ(ops_of(other), Ops{"SqueezeExcite"});
  EXPECT_EQ(other.node(0).attributes.get_string("activation", ""), "leaky_relu");
  EXPECT_EQ(other.node(0).attributes.get_float("alpha", 0), 0.3F);
  EXPECT_EQ(other.node(0).post.size(), 2U);
  expect_same_numbers(leaky, where_all_is_supported());

  GraphBuilder none;
  none.output(product(none, product(none, mean(none, images(none, {2, 6, 5, 4})), 4), 6));
  const Graph plain = passed(none, where_all_is_supported());
  ASSERT_EQ(ops_of(plain), Ops{"SqueezeExcite"});
  EXPECT_EQ(plain.node(0).attributes.get_string("activation", ""), "identity");
  EXPECT_TRUE(plain.node(0).post.empty());
}

TEST(FuseSqueezeExcite, KnowsAnActivationThatIsSpelledOut) {
  GraphBuilder b;
  const ValueId hidden = product(b, mean(b, images(b, {2, 6, 5, 4})), 4);
  b.output(product(b, b.op("Mul", {hidden, b.op("Sigmoid", {hidden})}), 6));
  const Graph graph = passed(b, where_all_is_supported());
  ASSERT_EQ(ops_of(graph), Ops{"SqueezeExcite"});
  EXPECT_EQ(graph.node(0).attributes.get_string("activation", ""), "silu");
}

TEST(FuseSqueezeExcite, ReadsTheImageInTheDevicesLayout) {
  for (const Layout layout : {Layout::kChannelsLast, Layout::kBlocked8})
    for (const char* op : {"GlobalAveragePool", "ReduceMean"}) {
      GraphBuilder b;
      const ValueId image = b.op("Relu", {product(b, images(b, {2, 3, 6, 6}), 16)});
      b.output(b.op("Mul", {image, excite(b, mean(b, image, op), 16)}));
      PassOptions options = where_all_is_supported();
      options.image_layout = layout;
      const Graph graph = passed(b, options);
      ASSERT_EQ(ops_of(graph), (Ops{"Conv", "SqueezeExcite", "Mul", "Reorder"}))
          << print_graph(graph);
      EXPECT_EQ(graph.node(1).inputs[0], graph.node(0).outputs[0]);
      EXPECT_EQ(graph.value(graph.node(1).inputs[0]).layout, layout);
      EXPECT_EQ(graph.value(graph.node(1).outputs[0]).layout, layout);
      expect_same_numbers(b, options);
    }
}

TEST(FuseSqueezeExcite, TheNodeIsSplitAlongTheBatch) {
  GraphBuilder b;
  b.output(excite(b, mean(b, images(b, {4, 6, 5, 4})), 6));
  const Graph graph = passed(b, where_all_is_supported());
  ASSERT_EQ(ops_of(graph), Ops{"SqueezeExcite"});
  EXPECT_EQ(graph.value(graph.outputs[0]).batch, (BatchAxis{0, 1}));
  EXPECT_TRUE(is_splittable(graph, 0).ok());
}

TEST(FuseSqueezeExcite, FusesEachOfSeveral) {
  GraphBuilder b;
  ValueId x = images(b, {2, 6, 5, 4});
  for (int block = 0; block < 3; ++block) x = b.op("Mul", {x, excite(b, mean(b, x), 6)});
  b.output(x);
  const Ops pair = {"SqueezeExcite", "Mul"};
  Ops expected;
  for (int block = 0; block < 3; ++block) expected.insert(expected.end(), pair.begin(), pair.end());
  EXPECT_EQ(ops_of(passed(b, where_all_is_supported())), expected);
  expect_same_numbers(b, where_all_is_supported());
}

TEST(FuseSqueezeExcite, InHalfPrecisionAllOperandsHaveOneType) {
  PassOptions options = where_all_is_supported();
  options.precision = Precision::kF16;
  GraphBuilder b;
  const ValueId image = b.op("Relu", {product(b, images(b, {2, 3, 6, 6}), 16)});
  b.output(b.op("Mul", {image, excite(b, mean(b, image), 16)}));
  const Graph graph = passed(b, options);
  ASSERT_TRUE(is_fused(graph)) << print_graph(graph);
  const Ops ops = ops_of(graph);
  const Node& node = graph.node(
      static_cast<NodeId>(std::find(ops.begin(), ops.end(), "SqueezeExcite") - ops.begin()));
  for (const ValueId id : node.inputs) EXPECT_EQ(graph.value(id).dtype, DType::kF16);
  EXPECT_EQ(graph.value(node.outputs[0]).dtype, DType::kF16);
  expect_same_numbers(b, options, 5e-3);

  // The last convolution of a model writes f32 by itself.
  GraphBuilder mixed;
  const ValueId x = product(mixed, images(mixed, {2, 3, 6, 6}), 16);
  mixed.output(product(mixed, product(mixed, mean(mixed, x), 4), 6));
  const Graph kept = passed(mixed, options);
  EXPECT_EQ(ops_of(kept), (Ops{"Conv", "GlobalAveragePool", "Conv", "Conv"})) << print_graph(kept);
}

TEST(FuseSqueezeExcite, LeavesWhatNoKernelTakes) {
  GraphBuilder b;
  b.output(excite(b, mean(b, images(b, {2, 6, 5, 4})), 6));
  expect_kept(b, PassOptions());
  PassOptions options;
  int asked = 0;
  options.is_supported = [&](const Graph& graph, NodeId id) {
    if (graph.node(id).op != "SqueezeExcite") return true;
    ++asked;
    return false;
  };
  EXPECT_EQ(ops_of(passed(b, options)), (Ops{"GlobalAveragePool", "Conv", "Conv"}));
  EXPECT_EQ(asked, 1);
  expect_kept(b, options);
}

TEST(FuseSqueezeExcite, LeavesResultsThatOthersReadOrTheModelGives) {
  for (const bool is_output : {true, false}) {
    const auto also_read = [&](GraphBuilder& b, ValueId value) {
      b.output(is_output ? value : b.op("Softmax", {value}));
    };
    GraphBuilder pooled;
    const ValueId m = mean(pooled, images(pooled, {2, 6, 5, 4}));
    pooled.output(excite(pooled, m, 6));
    also_read(pooled, m);
    expect_kept(pooled);

    GraphBuilder hidden;
    const ValueId h =
        hidden.op("Relu", {product(hidden, mean(hidden, images(hidden, {2, 6, 9})), 4)});
    hidden.output(product(hidden, h, 6));
    also_read(hidden, h);
    expect_kept(hidden);

    // The fused node's own result is like any other.
    GraphBuilder result;
    const ValueId y = excite(result, mean(result, images(result, {2, 6, 9})), 6);
    result.output(y);
    also_read(result, y);
    EXPECT_TRUE(is_fused(passed(result, where_all_is_supported())));
  }
}

TEST(FuseSqueezeExcite, LeavesConvolutionsThatAreNoProducts) {
  const std::vector<Attributes> others = {
      attributes({{"strides", Ints{2, 2}}}), attributes({{"group", std::int64_t{2}}}),
      attributes({{"pads", Ints{1, 1, 1, 1}}}), attributes({{"dilations", Ints{2, 2}}}),
      attributes({{"pads", Ints{0, 1, 0, 0}}})};
  for (const Attributes& other : others)
    for (const bool is_first : {true, false}) {
      GraphBuilder b;
      const ValueId m = mean(b, images(b, {2, 6, 5, 4}));
      const ValueId h = product(b, m, 4, true, is_first ? other : Attributes());
      b.output(product(b, h, 6, true, is_first ? Attributes() : other));
      expect_kept(b);
    }
  // A window around the position, most of it padding.
  GraphBuilder window;
  const ValueId h = product(window, mean(window, images(window, {2, 6, 5, 4})), 4);
  window.output(window.op("Conv", {h, window.weights({6, 4, 3, 3})},
                          attributes({{"pads", Ints{1, 1, 1, 1}}})));
  expect_kept(window);
  // How a window would be padded does not matter where there is none.
  GraphBuilder automatic;
  const ValueId m = mean(automatic, images(automatic, {2, 6, 5, 4}));
  const Attributes same = attributes({{"auto_pad", std::string("SAME_UPPER")}});
  automatic.output(product(automatic, product(automatic, m, 4, true, same), 6, true, same));
  EXPECT_TRUE(is_fused(passed(automatic, where_all_is_supported())));
}

TEST(FuseSqueezeExcite, LeavesWeightsThatAreComputed) {
  for (const bool is_first : {true, false}) {
    GraphBuilder b;
    const ValueId m = mean(b, images(b, {2, 6, 5, 4}));
    const ValueId w = b.input(is_first ? Shape{4, 6, 1, 1} : Shape{6, 4, 1, 1});
    const ValueId h = is_first ? b.op("Conv", {m, w}) : product(b, m, 4);
    b.output(is_first ? product(b, h, 6) : b.op("Conv", {h, w}));
    expect_kept(b);
  }
}

TEST(FuseSqueezeExcite, LeavesOtherPostOps) {
  GraphBuilder two;
  const ValueId h = product(two, mean(two, images(two, {2, 6, 5, 4})), 4);
  two.output(product(two, two.op("Tanh", {two.op("Relu", {h})}), 6));
  expect_kept(two);
  for (const char* op : {"Add", "Mul"})
    for (const bool is_first : {true, false}) {
      GraphBuilder b;
      ValueId y = product(b, mean(b, images(b, {2, 6, 5, 4})), 6);
      if (is_first) y = b.op(op, {y, b.input({2, 6, 1, 1})});
      y = product(b, y, 6);
      if (!is_first) y = b.op(op, {y, b.input({2, 6, 1, 1})});
      b.output(y);
      expect_kept(b);
    }
}

TEST(FuseSqueezeExcite, LeavesOtherMeansAndImages) {
  for (const char* op : {"GlobalMaxPool", "GlobalAveragePool"}) {
    GraphBuilder b;
    const bool is_mean = std::string(op) == "GlobalAveragePool";
    // The mean of a volume; of an image, the largest number.
    b.output(
        excite(b, b.op(op, {images(b, is_mean ? Shape{2, 6, 3, 4, 5} : Shape{2, 6, 3, 4})}), 6));
    expect_kept(b);
  }
  for (const Ints& axes : {Ints{2}, Ints{3}, Ints{1, 2}, Ints{1, 2, 3}, Ints{0, 2, 3}}) {
    GraphBuilder b;
    b.output(excite(b, b.op("ReduceMean", {images(b, {2, 6, 5, 4}), b.ints(axes)}), 6));
    expect_kept(b);
  }
  GraphBuilder all;
  all.output(excite(all, all.op("ReduceMean", {images(all, {2, 6, 5, 4})}), 6));
  expect_kept(all);
  // Dropped axes leave the second as the channels' positions.
  GraphBuilder dropped;
  const ValueId x = images(dropped, {2, 6, 5, 4, 3});
  dropped.output(excite(dropped,
                        dropped.op("ReduceMean", {x, dropped.ints({2, 3})},
                                   attributes({{"keepdims", std::int64_t{0}}})),
                        6));
  expect_kept(dropped);
}

}  // namespace
}  // namespace gacer
