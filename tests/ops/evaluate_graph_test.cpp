// The oracle on whole graphs: parts that share a root's memory, lifetimes, batch axes.

#include <set>

#include "tests/ops/op_runner.h"
#include "tests/support/expect_error.h"

namespace gacer {
namespace {

using namespace gacer::testing;  // NOLINT: test helpers

ValueId add_result(Graph& graph, const std::string& name) {
  Value value;
  value.name = name;
  return graph.add_value(std::move(value));
}

NodeId add_op(Graph& graph, const std::string& op, std::vector<ValueId> inputs, ValueId output) {
  Node node;
  node.op = op;
  node.name = op;
  node.inputs = std::move(inputs);
  node.outputs = {output};
  const NodeId id = graph.add_node(std::move(node));
  infer_node(graph, id);
  return id;
}

TEST(EvaluateGraph, PartsAreGatheredIntoTheirRoot) {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::kF32, Shape{2, 3});
  const ValueId left = add_result(graph, "left");
  const ValueId right = add_result(graph, "right");
  const ValueId y = add_result(graph, "y");
  add_op(graph, "Neg", {x}, left);
  add_op(graph, "Identity", {x}, right);
  Value whole;
  whole.name = "root";
  whole.shape = Shape{2, 6};
  const ValueId root = graph.add_value(std::move(whole));
  graph.value(left).slice_of = SliceOf{root, 1, 0};
  graph.value(right).slice_of = SliceOf{root, 1, 3};
  add_op(graph, "Neg", {root}, y);
  graph.outputs = {root, y};
  verify_graph(graph);
  const auto outputs = evaluate_graph(graph, std::vector<Tensor>{iota(Shape{2, 3})});
  EXPECT_EQ(values_of(outputs[0]),
            (std::vector<float>{-0.0F, -1, -2, 0, 1, 2, -3, -4, -5, 3, 4, 5}));
  EXPECT_EQ(values_of(outputs[1]), (std::vector<float>{0, 1, 2, 0, -1, -2, 3, 4, 5, -3, -4, -5}));
}

TEST(EvaluateGraph, PartsAreReadOutOfTheirRoot) {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::kF32, Shape{2, 4});
  const ValueId root = add_result(graph, "root");
  add_op(graph, "Neg", {x}, root);
  Value part;
  part.name = "part";
  part.shape = Shape{2, 2};
  part.slice_of = SliceOf{root, 1, 1};
  const ValueId middle = graph.add_value(std::move(part));
  const ValueId y = add_result(graph, "y");
  add_op(graph, "Neg", {middle}, y);
  graph.outputs = {y};
  verify_graph(graph);
  const auto outputs = evaluate_graph(graph, std::vector<Tensor>{iota(Shape{2, 4})});
  EXPECT_EQ(values_of(outputs[0]), (std::vector<float>{1, 2, 5, 6}));
}

TEST(EvaluateGraph, ViewsAreTheirRootInAnotherShape) {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::kF32, Shape{2, 3});
  const ValueId root = add_result(graph, "root");
  add_op(graph, "Neg", {x}, root);
  Value turned;
  turned.name = "turned";
  turned.shape = Shape{3, 2};
  turned.view_of = root;
  const ValueId view = graph.add_value(std::move(turned));
  const ValueId y = add_result(graph, "y");
  const ValueId z = add_result(graph, "z");
  add_op(graph, "Neg", {view}, y);
  add_op(graph, "Neg", {y}, z);
  const ValueId again = add_result(graph, "again");
  add_op(graph, "Neg", {view}, again);
  graph.outputs = {z, again};
  verify_graph(graph);
  const auto outputs = evaluate_graph(graph, std::vector<Tensor>{iota(Shape{2, 3})});
  EXPECT_EQ(outputs[0].shape(), (Shape{3, 2}));
  EXPECT_EQ(values_of(outputs[0]), (std::vector<float>{-0.0F, -1, -2, -3, -4, -5}));
  EXPECT_EQ(values_of(outputs[1]), (std::vector<float>{0, 1, 2, 3, 4, 5}));
}

TEST(EvaluateGraph, NamesTheInputThatDoesNotFit) {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::kF32, Shape{2});
  graph.outputs = {add_result(graph, "y")};
  add_op(graph, "Neg", {x}, graph.outputs[0]);
  expect_error(ErrorKind::kUsage, "'x'",
               [&] { evaluate_graph(graph, std::vector<Tensor>{iota(Shape{3})}); });
}

TEST(BatchAxes, FollowTheValuesThroughTheGraph) {
  Graph graph;
  graph.batch = 4;
  const ValueId x = graph.add_input("x", DType::kF32, Shape{4, 3, 6});
  graph.value(x).batch = BatchAxis{0, 1};
  const ValueId w = graph.add_constant("w", iota(Shape{6, 5}));
  const ValueId linear = add_result(graph, "linear");
  const ValueId total = add_result(graph, "total");
  const ValueId after = add_result(graph, "after");
  const NodeId product = add_op(graph, "MatMul", {x, w}, linear);
  Node sum;
  sum.op = "ReduceSum";
  sum.inputs = {linear, graph.add_constant("axes", ints({0}))};
  sum.outputs = {total};
  const NodeId reduction = graph.add_node(std::move(sum));
  infer_node(graph, reduction);
  const NodeId last = add_op(graph, "Add", {linear, total}, after);
  graph.outputs = {after};
  infer_batch_axes(graph);
  EXPECT_EQ(graph.value(linear).batch, (BatchAxis{0, 1}));
  EXPECT_TRUE(is_splittable(graph, product).ok());
  // The sum over the batch mixes the items; what broadcasts it can be split again.
  EXPECT_FALSE(graph.value(total).batch.has_value());
  EXPECT_FALSE(is_splittable(graph, reduction).ok());
  EXPECT_EQ(graph.value(after).batch, (BatchAxis{0, 1}));
  EXPECT_TRUE(is_splittable(graph, last).ok());
}

TEST(BatchAxes, PostOperandsMustFollowTheBatch) {
  Graph graph;
  graph.batch = 4;
  const ValueId x = graph.add_input("x", DType::kF32, Shape{4, 6});
  const ValueId other = graph.add_input("other", DType::kF32, Shape{4, 6});
  graph.value(x).batch = BatchAxis{0, 1};
  const ValueId y = add_result(graph, "y");
  const NodeId id = add_op(graph, "Relu", {x}, y);
  graph.outputs = {y};
  graph.node(id).inputs.push_back(other);
  graph.node(id).post = {PostOp{.kind = PostOp::Kind::kAdd, .input = 1}};
  infer_batch_axes(graph);
  const auto without = is_splittable(graph, id);
  ASSERT_FALSE(without.ok());
  EXPECT_NE(without.reason().find("'other'"), std::string::npos);
  graph.value(other).batch = BatchAxis{0, 1};
  infer_batch_axes(graph);
  EXPECT_TRUE(is_splittable(graph, id).ok());
}

TEST(Operators, AreNamedOnceAndComplete) {
  std::set<std::pair<std::string_view, std::string_view>> names;
  std::set<std::string_view> bare;
  for (const OpDef* def : all_ops()) {
    EXPECT_TRUE(names.insert({def->domain, def->name}).second) << def->name;
    // Nodes name operators without their domain.
    EXPECT_TRUE(bare.insert(def->name).second) << def->name;
    EXPECT_NE(def->infer, nullptr) << def->name;
    EXPECT_NE(def->evaluate, nullptr) << def->name;
    EXPECT_LE(def->min_opset, def->max_opset) << def->name;
    EXPECT_EQ(find_op(def->name, def->domain), def);
  }
  EXPECT_EQ(find_op("NoSuchOperator"), nullptr);
}

}  // namespace
}  // namespace gacer
