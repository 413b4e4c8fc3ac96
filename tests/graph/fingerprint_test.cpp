#include <set>
#include <string>

#include <gtest/gtest.h>

#include "graph/graph.h"
#include "tests/graph/graph_maker.h"

namespace gacer {
namespace {

using graph_test::SmallNet;

TEST(Fingerprint, IsStableBetweenProcesses) {
  // A changed value makes every saved plan foreign: change it knowingly.
  EXPECT_EQ(fingerprint(SmallNet().graph), "3363d679276fe461");
  const SmallNet net;
  EXPECT_EQ(op_signature(net.graph, net.conv), "92adc2ff25f11acf");
}

TEST(Fingerprint, IgnoresNamesAndWeights) {
  SmallNet other(4, /*first_weight=*/100);
  for (ValueId id = 0; id < other.graph.num_values(); ++id)
    other.graph.value(id).name += "_renamed";
  for (NodeId id = 0; id < other.graph.num_nodes(); ++id) other.graph.node(id).name = "n";
  other.graph.name = "other";
  EXPECT_EQ(fingerprint(SmallNet().graph), fingerprint(other.graph));
}

TEST(Fingerprint, IgnoresValuesThatNothingUses) {
  SmallNet other;
  graph_test::add_result(other.graph, "unused", Shape{7});
  EXPECT_EQ(fingerprint(SmallNet().graph), fingerprint(other.graph));
}

TEST(Fingerprint, SeesEverythingElse) {
  std::set<std::string> seen{fingerprint(SmallNet().graph)};
  const auto expect_new = [&](const char* what, auto change) {
    SmallNet net;
    change(net);
    EXPECT_TRUE(seen.insert(fingerprint(net.graph)).second) << what;
  };
  expect_new("attribute", [](SmallNet& net) {
    net.graph.node(net.conv).attributes.set("group", std::int64_t{1});
  });
  expect_new("attribute's value", [](SmallNet& net) {
    net.graph.node(net.conv).attributes.set("group", std::int64_t{2});
  });
  expect_new("operator", [](SmallNet& net) { net.graph.node(net.relu).op = "Tanh"; });
  expect_new("edge", [](SmallNet& net) { net.graph.node(net.relu).inputs[0] = net.dead; });
  expect_new("layout",
             [](SmallNet& net) { net.graph.value(net.conv_out).layout = Layout::kChannelsLast; });
  expect_new("type", [](SmallNet& net) { net.graph.value(net.y).dtype = DType::kF16; });
  expect_new("shape", [](SmallNet& net) { net.graph.value(net.y).shape = Shape{4, 5, 64, 1}; });
  expect_new("batch axis", [](SmallNet& net) { net.graph.value(net.y).batch.reset(); });
  expect_new("post-op", [](SmallNet& net) {
    net.graph.node(net.conv).post = {PostOp{.activation = Activation::kRelu}};
  });
  expect_new("output", [](SmallNet& net) { net.graph.outputs = {net.conv_out}; });
}

TEST(OpSignature, IsTheSameForEveryBatch) {
  const SmallNet one(1);
  const SmallNet many(32);
  EXPECT_EQ(op_signature(one.graph, one.conv), op_signature(many.graph, many.conv));
}

TEST(OpSignature, DependsOnThePlaceAndSizeOfABatchItem) {
  SmallNet four;
  SmallNet whole;
  whole.graph.value(whole.y).batch.reset();
  whole.graph.value(whole.conv_out).batch.reset();
  EXPECT_NE(op_signature(four.graph, four.relu), op_signature(whole.graph, whole.relu));
  SmallNet rows;
  for (const ValueId id : {rows.conv_out, rows.y}) rows.graph.value(id).batch = BatchAxis{0, 2};
  rows.graph.batch = 2;
  EXPECT_NE(op_signature(four.graph, four.relu), op_signature(rows.graph, rows.relu));
}

TEST(OpSignature, TellsConstantOperandsFromOthers) {
  SmallNet net;
  const std::string before = op_signature(net.graph, net.conv);
  net.graph.value(net.w).constant.reset();
  EXPECT_NE(op_signature(net.graph, net.conv), before);
}

TEST(OpSignature, TellsOneOperandTwiceFromTwo) {
  SmallNet net;
  const Shape shape{4, 5, 8, 8};
  const ValueId a = graph_test::add_result(net.graph, "a", shape);
  const ValueId b = graph_test::add_result(net.graph, "b", shape);
  const NodeId square = graph_test::add_op(net.graph, "Mul", {net.y, net.y}, {a});
  const NodeId product = graph_test::add_op(net.graph, "Mul", {net.y, net.dead}, {b});
  EXPECT_NE(op_signature(net.graph, square), op_signature(net.graph, product));
}

/// A node with a constant second operand.
std::string signature_with(const std::string& op, Tensor operand) {
  SmallNet net;
  const ValueId constant = net.graph.add_constant("k", std::move(operand));
  const ValueId out = graph_test::add_result(net.graph, "out", Shape{4, 5, 8, 8});
  return op_signature(net.graph, graph_test::add_op(net.graph, op, {net.y, constant}, {out}));
}

TEST(OpSignature, CountsSmallIntegersButNotShapesOrWeights) {
  const auto ints = [](std::int64_t value) {
    return Tensor::from<std::int64_t>(Shape{2}, {value, 1});
  };
  EXPECT_NE(signature_with("Slice", ints(3)), signature_with("Slice", ints(4)));
  EXPECT_EQ(signature_with("Reshape", ints(3)), signature_with("Reshape", ints(4)));
  EXPECT_EQ(signature_with("Mul", Tensor::scalar<float>(3)),
            signature_with("Mul", Tensor::scalar<float>(4)));
  EXPECT_NE(signature_with("Pow", Tensor::scalar<float>(2)),
            signature_with("Pow", Tensor::scalar<float>(0.3F)));
  EXPECT_NE(signature_with("Mul", Tensor::scalar<float>(3)),
            signature_with("Mul", Tensor::from<float>(Shape{1}, {3})));
}

}  // namespace
}  // namespace gacer
