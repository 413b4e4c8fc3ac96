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

PassOptions in_half(Precision precision = Precision::kF16) {
  PassOptions options;
  options.precision = precision;
  return options;
}

PassOptions without_fusion() {
  PassOptions options = in_half();
  options.disabled = {"fuse_casts"};
  return options;
}

DType type_of(const Graph& graph, ValueId id) { return graph.value(id).dtype; }
DType result_type(const Graph& graph, NodeId id) {
  return type_of(graph, graph.node(id).outputs[0]);
}

/// Whether a node's data and result have two types.
bool is_mixed(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  return node.op != "Cast" && type_of(graph, node.inputs[0]) != result_type(graph, id);
}

ValueId conv(GraphBuilder& b, ValueId x, std::int64_t filters) {
  const std::int64_t channels = b.graph.value(x).shape[1];
  const std::vector<std::int64_t> pads(4, 1);
  return b.op("Conv", {x, b.weights({filters, channels, 3, 3}, 0.3F), b.weights({filters})},
              attributes({{"pads", pads}}));
}

ValueId linear(GraphBuilder& b, ValueId x, std::int64_t columns) {
  const Shape& shape = b.graph.value(x).shape;
  return b.op("Linear",
              {x, b.weights({shape[shape.rank() - 1], columns}, 0.3F), b.weights({columns})});
}

/// A convolution, a product, and a pool between them.
GraphBuilder small_net() {
  GraphBuilder b;
  const ValueId x = b.op("Relu", {conv(b, b.input({2, 3, 6, 6}), 8)});
  b.output(b.op("Relu", {linear(b, b.op("Flatten", {b.op("GlobalAveragePool", {x})}), 5)}));
  return b;
}

TEST(FuseCasts, TheFirstNodeReadsF32AndTheLastWritesIt) {
  for (const auto& [precision, half] :
       {std::pair{Precision::kF16, DType::kF16}, {Precision::kBF16, DType::kBF16}}) {
    const GraphBuilder b = small_net();
    const Graph graph = passed(b, in_half(precision));
    ASSERT_EQ(ops_of(graph), (Ops{"Conv", "GlobalAveragePool", "Linear"})) << print_graph(graph);
    const Node& first = graph.node(0);
    EXPECT_EQ(first.inputs[0], graph.inputs[0]);
    EXPECT_EQ(type_of(graph, first.inputs[1]), half);
    EXPECT_EQ(result_type(graph, 0), half);
    const Node& last = graph.node(2);
    EXPECT_EQ(last.outputs[0], graph.outputs[0]);
    EXPECT_EQ(type_of(graph, last.inputs[0]), half);
    EXPECT_EQ(result_type(graph, 2), DType::kF32);
  }
}

TEST(FuseCasts, KeepsNamesAndNumbers) {
  GraphBuilder b = small_net();
  const Graph apart = passed(b, without_fusion());
  const Graph fused = passed(b, in_half());
  const std::vector<Tensor> inputs = b.random_inputs();
  EXPECT_EQ(fused.value(fused.inputs[0]).name, b.graph.value(b.graph.inputs[0]).name);
  EXPECT_EQ(fused.value(fused.outputs[0]).name, b.graph.value(b.graph.outputs[0]).name);
  EXPECT_LT(relative_error(evaluate_graph(fused, inputs)[0], evaluate_graph(apart, inputs)[0]),
            5e-3);
}

TEST(FuseCasts, AResultInF32IsWhatTheCastRounded) {
  GraphBuilder b;
  b.output(b.op("Relu", {linear(b, b.op("Relu", {b.input({4, 16})}), 6)}));
  const Graph apart = passed(b, without_fusion());
  const Graph fused = passed(b, in_half());
  ASSERT_EQ(fused.num_nodes() + 1, apart.num_nodes());
  const std::vector<Tensor> inputs = b.random_inputs();
  const Tensor exact = evaluate_graph(fused, inputs)[0];
  const Tensor rounded = evaluate_graph(apart, inputs)[0];
  int different = 0;
  for (std::size_t i = 0; i < exact.data<float>().size(); ++i) {
    const float x = exact.data<float>()[i];
    EXPECT_EQ(static_cast<float>(Half(x)), rounded.data<float>()[i]);
    if (x != rounded.data<float>()[i]) ++different;
  }
  EXPECT_GT(different, 0) << "the result is still rounded";
}

TEST(FuseCasts, NodesOfTwoTypesAreOtherWork) {
  const GraphBuilder b = small_net();
  const Graph apart = passed(b, without_fusion());
  const Graph fused = passed(b, in_half());
  const auto find = [](const Graph& graph, const char* op) {
    const Ops ops = ops_of(graph);
    return static_cast<NodeId>(std::find(ops.begin(), ops.end(), op) - ops.begin());
  };
  for (const char* op : {"Conv", "Linear"}) {
    EXPECT_NE(op_signature(fused, find(fused, op)), op_signature(apart, find(apart, op))) << op;
    EXPECT_NE(form_of(fused, fused.node(find(fused, op))),
              form_of(apart, apart.node(find(apart, op))))
        << op;
  }
  // Two bytes more for each number that is f32 now.
  EXPECT_EQ(cost_of(fused, find(fused, "Conv")).bytes - cost_of(apart, find(apart, "Conv")).bytes,
            2 * 2 * 3 * 6 * 6);
  EXPECT_EQ(
      cost_of(fused, find(fused, "Linear")).bytes - cost_of(apart, find(apart, "Linear")).bytes,
      2 * 2 * 5);
}

TEST(FuseCasts, TakesBackWhatNoKernelSupports) {
  const GraphBuilder b = small_net();
  const std::string apart = print_graph(passed(b, without_fusion()));
  PassOptions options = in_half();
  options.is_supported = [](const Graph& graph, NodeId id) { return !is_mixed(graph, id); };
  EXPECT_EQ(print_graph(passed(b, options)), apart);
  // No kernel takes the convolution either way: its Cast is worth no less for that.
  options.is_supported = [](const Graph& graph, NodeId id) { return graph.node(id).op != "Conv"; };
  const Graph graph = passed(b, options);
  EXPECT_EQ(graph.node(0).op, "Cast");
  EXPECT_EQ(graph.node(graph.num_nodes() - 1).op, "Linear");
}

TEST(FuseCasts, LeavesAnImageThatIsReadTwice) {
  GraphBuilder b;
  const ValueId x = b.input({2, 3, 6, 6});
  b.output(conv(b, x, 3));
  b.output(b.op("Sigmoid", {x}));
  const Graph graph = passed(b, in_half());
  EXPECT_EQ(graph.node(0).op, "Cast") << print_graph(graph);
  // As data and as the residual of one node.
  GraphBuilder twice;
  const ValueId image = twice.input({2, 3, 6, 6});
  twice.output(twice.op("Sigmoid", {twice.op("Add", {conv(twice, image, 3), image})}));
  EXPECT_EQ(passed(twice, in_half()).node(0).op, "Cast");
}

TEST(FuseCasts, OnlyTheImageOfAConvolutionIsReadInF32) {
  GraphBuilder b;
  b.output(b.op("Sigmoid", {linear(b, b.input({4, 16}), 6)}));
  EXPECT_EQ(passed(b, in_half()).node(0).op, "Cast");
  GraphBuilder weights;
  const ValueId data = weights.op("Softmax", {weights.input({1, 3, 6, 6})});
  const ValueId computed = weights.input({4, 3, 1, 1});
  weights.output(weights.op("Softmax", {weights.op("Conv", {data, computed})}));
  const Ops ops = ops_of(passed(weights, in_half()));
  EXPECT_EQ(std::count(ops.begin(), ops.end(), "Cast"), 3) << "two inputs, one output";
}

TEST(FuseCasts, AConvolutionAloneKeepsOneCast) {
  GraphBuilder b;
  b.output(conv(b, b.input({2, 3, 6, 6}), 8));
  EXPECT_EQ(ops_of(passed(b, in_half())), (Ops{"Conv", "Cast"})) << "else it would be f32 work";
}

TEST(FuseCasts, LeavesAResultThatOthersReadOrTheModelGives) {
  GraphBuilder b;
  const ValueId y = linear(b, b.op("Softmax", {b.input({4, 16})}), 6);
  b.output(y);
  b.output(b.op("Softmax", {y}));
  const Graph graph = passed(b, in_half());
  for (NodeId id = 0; id < graph.num_nodes(); ++id) EXPECT_FALSE(is_mixed(graph, id));

  // A model of 16 bits that gives both the value and its cast.
  GraphBuilder own;
  const ValueId half = own.op("Cast", {own.input({4, 16})}, attributes({{"to", std::int64_t{10}}}));
  const ValueId product = own.op("MatMul", {half, own.op("Transpose", {half})});
  own.output(product);
  own.output(own.op("Cast", {product}, attributes({{"to", std::int64_t{1}}})));
  EXPECT_EQ(ops_of(passed(own, PassOptions())), ops_of(own.graph));
}

TEST(FuseCasts, LeavesAResultWithAResidualOfSixteenBits) {
  for (const bool has_residual : {true, false}) {
    GraphBuilder b;
    const ValueId x = b.op("Softmax", {b.input({4, 16})});
    const ValueId y = linear(b, x, 16);
    b.output(has_residual ? b.op("Add", {y, x}) : b.op("Tanh", {y}));
    const Graph graph = passed(b, in_half());
    const Ops ops = ops_of(graph);
    ASSERT_EQ(std::count(ops.begin(), ops.end(), "Linear"), 1);
    EXPECT_EQ(ops.back(), has_residual ? "Cast" : "Linear") << print_graph(graph);
  }
}

}  // namespace
}  // namespace gacer
