#include <functional>
#include <string>

#include <gtest/gtest.h>

#include <gacer/error.h>

#include "graph/graph.h"
#include "tests/graph/graph_maker.h"
#include "tests/support/expect_error.h"

namespace gacer {
namespace {

using graph_test::SmallNet;

/// Breaks a sound graph in one way and expects an error that says so.
void expect_rejected(const std::string& words, const std::function<void(SmallNet&)>& damage) {
  SmallNet net;
  verify_graph(net.graph);
  damage(net);
  testing::expect_error(ErrorKind::kInternal, words, [&] { verify_graph(net.graph); });
}

TEST(VerifyGraph, RejectsAReadBeforeTheProducer) {
  expect_rejected("read before it is produced",
                  [](SmallNet& net) { net.graph.node(net.conv).inputs[0] = net.y; });
}

TEST(VerifyGraph, RejectsAValueWithTwoProducers) {
  expect_rejected("", [](SmallNet& net) { net.graph.node(net.unused).outputs[0] = net.y; });
}

TEST(VerifyGraph, RejectsAProducerThatDoesNotMakeTheValue) {
  expect_rejected("does not make it",
                  [](SmallNet& net) { net.graph.value(net.y).producer = net.conv; });
}

TEST(VerifyGraph, RejectsAnOutputThatNobodyMakes) {
  expect_rejected("never produced", [](SmallNet& net) {
    net.graph.outputs = {graph_test::add_result(net.graph, "lost", Shape{1})};
  });
}

TEST(VerifyGraph, RejectsAConstantOfAnotherShape) {
  expect_rejected("constant 'w'", [](SmallNet& net) {
    net.graph.value(net.w).shape = Shape{5, 3, 3, 3};
  });
}

TEST(VerifyGraph, RejectsABatchAxisThatDoesNotFit) {
  expect_rejected("batch axis", [](SmallNet& net) {
    net.graph.value(net.y).batch = BatchAxis{1, 1};
  });
}

TEST(VerifyGraph, RejectsASliceOutsideOfItsRoot) {
  expect_rejected("outside of", [](SmallNet& net) {
    const ValueId root = graph_test::add_result(net.graph, "root", Shape{4, 8, 8, 8});
    net.graph.value(net.y).slice_of = SliceOf{root, 1, 4};
  });
}

/// Makes `shape` a view of a [4, 8, 8, 8] in a layout.
void add_view(SmallNet& net, Shape shape, Layout layout) {
  const ValueId root = graph_test::add_result(net.graph, "root", Shape{4, 8, 8, 8});
  net.graph.value(root).layout = layout;
  const ValueId view = graph_test::add_result(net.graph, "view", std::move(shape));
  net.graph.value(view).view_of = root;
}

TEST(VerifyGraph, RejectsAViewOfOtherBytes) {
  SmallNet sound;
  add_view(sound, Shape{4, 512}, Layout::kRowMajor);
  verify_graph(sound.graph);
  expect_rejected("cannot be a view", [](SmallNet& net) {
    add_view(net, Shape{4, 511}, Layout::kRowMajor);
  });
  // The same number of elements in another order.
  expect_rejected("cannot be a view", [](SmallNet& net) {
    add_view(net, Shape{4, 512}, Layout::kChannelsLast);
  });
}

TEST(VerifyGraph, RejectsAPostOperandAmongTheOwnInputs) {
  expect_rejected("post-op", [](SmallNet& net) {
    net.graph.node(net.relu).post = {PostOp{.kind = PostOp::Kind::kAdd, .input = 0}};
  });
}

TEST(VerifyGraph, RejectsAPostOperandThatDoesNotBroadcast) {
  expect_rejected("does not broadcast", [](SmallNet& net) {
    Node& node = net.graph.node(net.relu);
    node.inputs.push_back(net.x);
    node.post = {PostOp{.kind = PostOp::Kind::kAdd, .input = 1}};
  });
}

TEST(VerifyGraph, RejectsAnOperandThatNoPostOpUses) {
  expect_rejected("belongs to no post-op",
                  [](SmallNet& net) { net.graph.node(net.relu).inputs.push_back(net.conv_out); });
}

TEST(VerifyGraph, RejectsAConstantThatIsAnInput) {
  expect_rejected("graph input", [](SmallNet& net) { net.graph.inputs.push_back(net.w); });
}

}  // namespace
}  // namespace gacer
