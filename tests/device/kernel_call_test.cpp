#include <gtest/gtest.h>

#include <gacer/error.h>

#include "device/kernel.h"

namespace gacer {
namespace {

using Strides = std::vector<std::int64_t>;

/// Relu from "x" to "y", both [4, 20, 3, 5] with the batch outside.
Graph relu_graph(Layout layout = Layout::kRowMajor) {
  Graph graph;
  graph.batch = 4;
  const ValueId x = graph.add_input("x", DType::kF32, Shape{4, 20, 3, 5});
  Value y;
  y.name = "y";
  y.shape = Shape{4, 20, 3, 5};
  Node node;
  node.op = "Relu";
  node.name = "relu";
  node.inputs = {x, kNone};
  node.outputs = {graph.add_value(y)};
  graph.add_node(node);
  graph.outputs = node.outputs;
  for (ValueId id : {x, node.outputs[0]}) {
    graph.value(id).batch = BatchAxis{};
    graph.value(id).layout = layout;
  }
  return graph;
}

/// Makes a value a window, 16 channels in, on a root of 48 channels.
void make_slice(Graph& graph, ValueId id) {
  Value root = graph.value(id);
  root.name += ".root";
  root.shape[1] = 48;
  root.producer = kNone;
  const ValueId root_id = graph.add_value(root);
  graph.value(id).slice_of = SliceOf{root_id, 1, 16};
}

TEST(RowSignature, TellsArithmeticApartThatTypesDoNot) {
  const Graph graph = relu_graph();
  EXPECT_EQ(row_signature(graph, 0, Precision::kF32), op_signature(graph, 0));
  EXPECT_NE(row_signature(graph, 0, Precision::kTF32), row_signature(graph, 0, Precision::kF32));
}

TEST(RowSignature, HasTheBatchOfWhatRunsWhole) {
  Graph four = relu_graph();
  for (const ValueId id : {four.inputs[0], four.outputs[0]}) four.value(id).batch.reset();
  Graph eight = four;
  eight.batch = 8;
  EXPECT_NE(row_signature(four, 0, Precision::kF32), row_signature(eight, 0, Precision::kF32));
}

TEST(DenseStrides, FollowTheLayout) {
  const Shape shape{4, 20, 3, 5};
  EXPECT_EQ(dense_strides(shape, Layout::kRowMajor), (Strides{300, 15, 5, 1}));
  EXPECT_EQ(dense_strides(shape, Layout::kChannelsLast), (Strides{300, 1, 100, 20}));
  EXPECT_EQ(dense_strides(shape, Layout::kBlocked8), (Strides{360, 120, 40, 8}));
  EXPECT_EQ(dense_strides(shape, Layout::kBlocked16), (Strides{480, 240, 80, 16}));
}

TEST(DenseStrides, StrideOfASingleStepDoesNotMatter) {
  EXPECT_TRUE(has_dense_strides(Shape{1, 8, 4}, Layout::kRowMajor, Strides{999, 4, 1}));
  EXPECT_FALSE(has_dense_strides(Shape{2, 8, 4}, Layout::kRowMajor, Strides{999, 4, 1}));
  EXPECT_TRUE(has_dense_strides(Shape{2, 8, 4}, Layout::kBlocked8, Strides{32, 999, 8}));
  EXPECT_FALSE(has_dense_strides(Shape{2, 9, 4}, Layout::kBlocked8, Strides{64, 999, 8}));
}

TEST(MakeCall, WholeBatchIsDense) {
  const Graph graph = relu_graph();
  const KernelCall call = make_call(graph, 0, Precision::kF32);
  ASSERT_EQ(call.inputs.size(), 2U);
  EXPECT_EQ(call.inputs[0].shape, (Shape{4, 20, 3, 5}));
  EXPECT_TRUE(call.inputs[0].is_dense());
  EXPECT_TRUE(call.inputs[1].is_absent);
  EXPECT_FALSE(call.inputs[0].is_constant);
}

TEST(MakeCall, ChunkOfTheOuterAxisIsDenseInEveryLayout) {
  for (const Layout layout : {Layout::kRowMajor, Layout::kChannelsLast, Layout::kBlocked8}) {
    const Graph graph = relu_graph(layout);
    const KernelCall call = make_call(graph, 0, Precision::kF32, ChunkRange{1, 3});
    EXPECT_EQ(call.outputs[0].shape, (Shape{2, 20, 3, 5})) << to_string(layout);
    EXPECT_TRUE(call.outputs[0].is_dense()) << to_string(layout);
  }
}

TEST(MakeCall, ChunkOfAnInnerAxisHasStrides) {
  Graph graph = relu_graph();
  for (ValueId id : {graph.inputs[0], graph.outputs[0]}) {
    graph.value(id).shape = Shape{7, 4, 6};
    graph.value(id).batch = BatchAxis{1, 1};
  }
  const KernelCall call = make_call(graph, 0, Precision::kF32, ChunkRange{1, 3});
  EXPECT_EQ(call.inputs[0].shape, (Shape{7, 2, 6}));
  EXPECT_EQ(call.inputs[0].strides, (Strides{24, 6, 1}));
  EXPECT_EQ(chunk_offset_bytes(graph, graph.inputs[0], 1), 6 * sizeof(float));
}

TEST(MakeCall, ItemsMayOwnSeveralNeighbours) {
  Graph graph = relu_graph();
  for (ValueId id : {graph.inputs[0], graph.outputs[0]}) {
    graph.value(id).shape = Shape{12, 5};  // three rows an item
    graph.value(id).batch = BatchAxis{0, 3};
  }
  const KernelCall call = make_call(graph, 0, Precision::kF32, ChunkRange{2, 4});
  EXPECT_EQ(call.inputs[0].shape, (Shape{6, 5}));
  EXPECT_EQ(chunk_offset_bytes(graph, graph.inputs[0], 2), 2 * 3 * 5 * sizeof(float));
}

TEST(MakeCall, SliceHasItsRootsStridesAndPlace) {
  Graph graph = relu_graph();
  make_slice(graph, graph.outputs[0]);
  const KernelCall call = make_call(graph, 0, Precision::kF32);
  EXPECT_EQ(call.outputs[0].strides, (Strides{48 * 15, 15, 5, 1}));
  EXPECT_EQ(chunk_offset_bytes(graph, graph.outputs[0], 0), 16 * 15 * sizeof(float));
  EXPECT_EQ(chunk_offset_bytes(graph, graph.outputs[0], 2),
            (2 * 48 * 15 + 16 * 15) * sizeof(float));
}

TEST(MakeCall, BlockedSliceBeginsWithABlock) {
  Graph graph = relu_graph(Layout::kBlocked8);
  make_slice(graph, graph.outputs[0]);
  EXPECT_EQ(chunk_offset_bytes(graph, graph.outputs[0], 0), 2 * 15 * 8 * sizeof(float));
  graph.value(graph.outputs[0]).slice_of->offset = 12;
  EXPECT_THROW(chunk_offset_bytes(graph, graph.outputs[0], 0), Error);
}

TEST(MakeCall, RefusesChunkOutsideTheBatch) {
  const Graph graph = relu_graph();
  EXPECT_THROW(make_call(graph, 0, Precision::kF32, ChunkRange{3, 5}), Error);
  EXPECT_THROW(make_call(graph, 0, Precision::kF32, ChunkRange{2, 2}), Error);
}

TEST(MakeCall, FindsConstants) {
  Graph graph = relu_graph();
  const ValueId constant = graph.add_constant("c", Tensor::scalar(1.5F));
  graph.node(0).inputs[1] = constant;
  const KernelCall call = make_call(graph, 0, Precision::kF32);
  EXPECT_EQ(call.constant(0), nullptr);
  EXPECT_EQ(call.constant(7), nullptr);
  ASSERT_NE(call.constant(1), nullptr);
  EXPECT_EQ(call.constant(1)->data<float>()[0], 1.5F);
  EXPECT_TRUE(call.inputs[1].is_constant);
}

}  // namespace
}  // namespace gacer
