#include "graph/graph.h"

#include <gtest/gtest.h>

#include "tests/graph/graph_maker.h"

namespace gacer {
namespace {

using graph_test::SmallNet;

TEST(Activation, NamesLeadBack) {
  for (int i = 0; i <= static_cast<int>(Activation::kElu); ++i) {
    const auto activation = static_cast<Activation>(i);
    EXPECT_EQ(parse_activation(to_string(activation)), activation) << to_string(activation);
  }
  EXPECT_EQ(parse_activation("gelu_tanh"), Activation::kGeluTanh);
  EXPECT_EQ(parse_activation("softplus"), std::nullopt);
  EXPECT_EQ(parse_activation(""), std::nullopt);
}

TEST(Graph, AddNodeSetsProducersAndOwnInputs) {
  const SmallNet net;
  EXPECT_EQ(net.graph.value(net.y).producer, net.relu);
  EXPECT_EQ(net.graph.node(net.conv).num_op_inputs, 2);
  EXPECT_EQ(net.graph.predecessors(net.relu), std::vector<NodeId>{net.conv});
  EXPECT_TRUE(net.graph.predecessors(net.conv).empty());
  EXPECT_EQ(net.graph.consumers()[static_cast<std::size_t>(net.conv_out)],
            (std::vector<NodeId>{net.unused, net.relu}));
}

TEST(Graph, AddNodeLeavesPostOperandsOutOfTheOwnInputs) {
  SmallNet net;
  Node node;
  node.op = "Conv";
  node.inputs = {net.x, net.w, net.conv_out};
  node.outputs = {graph_test::add_result(net.graph, "z", Shape{4, 5, 8, 8})};
  node.post = {PostOp{.kind = PostOp::Kind::kAdd, .input = 2}};
  const NodeId id = net.graph.add_node(std::move(node));
  EXPECT_EQ(net.graph.node(id).num_op_inputs, 2);
  verify_graph(net.graph);
}

TEST(Graph, InsertNodeRenumbersProducers) {
  SmallNet net;
  const ValueId copy = graph_test::add_result(net.graph, "copy", Shape{4, 3, 8, 8});
  Node node;
  node.op = "Identity";
  node.inputs = {net.x};
  node.outputs = {copy};
  net.graph.insert_node(0, std::move(node));
  EXPECT_EQ(net.graph.value(copy).producer, 0);
  EXPECT_EQ(net.graph.value(net.y).producer, net.relu + 1);
  verify_graph(net.graph);
}

TEST(Graph, RemoveDeadKeepsWhatReachesAnOutput) {
  SmallNet net;
  net.graph.remove_dead();
  EXPECT_EQ(net.graph.num_nodes(), 2);
  EXPECT_EQ(net.graph.find_value("dead"), kNone);
  ASSERT_NE(net.graph.find_value("y"), kNone);
  EXPECT_EQ(net.graph.outputs, std::vector<ValueId>{net.graph.find_value("y")});
  EXPECT_EQ(net.graph.value(net.graph.find_value("y")).producer, 1);
  verify_graph(net.graph);
}

TEST(Graph, RemoveDeadKeepsThePartsOfAnOutput) {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::kF32, Shape{2, 3});
  const ValueId root = graph_test::add_result(graph, "root", Shape{2, 6});
  const ValueId left = graph_test::add_result(graph, "left", Shape{2, 3});
  const ValueId right = graph_test::add_result(graph, "right", Shape{2, 3});
  graph.value(left).slice_of = SliceOf{root, 1, 0};
  graph.value(right).slice_of = SliceOf{root, 1, 3};
  graph_test::add_op(graph, "Relu", {x}, {left});
  graph_test::add_op(graph, "Tanh", {x}, {right});
  graph.outputs = {root};
  verify_graph(graph);
  graph.remove_dead();
  EXPECT_EQ(graph.num_nodes(), 2);
  verify_graph(graph);
}

TEST(Graph, ReplaceUsesMovesReadersAndOutputs) {
  SmallNet net;
  net.graph.replace_uses(net.y, net.conv_out);
  EXPECT_EQ(net.graph.outputs, std::vector<ValueId>{net.conv_out});
  net.graph.remove_dead();
  EXPECT_EQ(net.graph.num_nodes(), 1);
  verify_graph(net.graph);
}

TEST(Graph, PrintShowsOneNodeALine) {
  SmallNet net;
  net.graph.node(net.conv).attributes.set("strides", std::vector<std::int64_t>{1, 1});
  net.graph.node(net.conv).post = {PostOp{.activation = Activation::kRelu}};
  const std::string text = print_graph(net.graph);
  EXPECT_NE(text.find("%c f32[4, 5, 8, 8] = Conv(%x, %w) strides=[1,1] +relu\n"), std::string::npos)
      << text;
}

TEST(Layouts, BlockedOnesPadTheChannels) {
  const Shape shape{2, 5, 4, 4};
  EXPECT_EQ(bytes_in_layout(DType::kF32, shape, Layout::kRowMajor), 2U * 5 * 16 * 4);
  EXPECT_EQ(bytes_in_layout(DType::kF32, shape, Layout::kChannelsLast), 2U * 5 * 16 * 4);
  EXPECT_EQ(bytes_in_layout(DType::kF32, shape, Layout::kBlocked8), 2U * 8 * 16 * 4);
  EXPECT_EQ(bytes_in_layout(DType::kF16, shape, Layout::kBlocked16), 2U * 16 * 16 * 2);
}

}  // namespace
}  // namespace gacer
