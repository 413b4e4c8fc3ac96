#include "engine/arena.h"

#include <algorithm>
#include <limits>

#include <gtest/gtest.h>

#include "tests/engine/support.h"

namespace gacer {
namespace {

/// First and last execution position of the bytes of a root, straight from the definition.
std::pair<int, int> life_of(const Graph& graph, ValueId root) {
  int begin = std::numeric_limits<int>::max();
  int end = -1;
  const auto touch = [&](ValueId id, int position) {
    if (id == kNone || graph.root_of(id) != root) return;
    begin = std::min(begin, position);
    end = std::max(end, position);
  };
  for (NodeId node = 0; node < graph.num_nodes(); ++node) {
    for (const ValueId id : graph.node(node).inputs) touch(id, node);
    for (const ValueId id : graph.node(node).outputs) touch(id, node);
  }
  for (const ValueId id : graph.inputs) touch(id, -1);
  for (const ValueId id : graph.inputs) touch(id, graph.num_nodes());
  for (const ValueId id : graph.outputs) touch(id, graph.num_nodes());
  return {begin, end};
}

TEST(Arena, ValuesThatLiveTogetherNeverShareBytes) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const Graph graph = testing::make_random_net(seed, 1 + static_cast<std::int64_t>(seed % 3), 25);
    const ArenaPlan plan = plan_arena(graph);
    for (ValueId a = 0; a < graph.num_values(); ++a) {
      const auto offset_a = plan.offsets[static_cast<std::size_t>(a)];
      if (graph.is_constant(a)) {
        EXPECT_EQ(offset_a, -1);
        continue;
      }
      ASSERT_GE(offset_a, 0);
      EXPECT_EQ(offset_a % ArenaPlan::kAlignment, 0);
      EXPECT_LE(offset_a + value_bytes(graph.value(a)), plan.bytes);
      for (ValueId b = 0; b < a; ++b) {
        if (graph.is_constant(b)) continue;
        const auto [begin_a, end_a] = life_of(graph, a);
        const auto [begin_b, end_b] = life_of(graph, b);
        if (begin_a > end_b || begin_b > end_a) continue;
        const auto offset_b = plan.offsets[static_cast<std::size_t>(b)];
        EXPECT_TRUE(offset_a + value_bytes(graph.value(a)) <= offset_b ||
                    offset_b + value_bytes(graph.value(b)) <= offset_a)
            << graph.value(a).name << " and " << graph.value(b).name << ", seed " << seed;
      }
    }
  }
}

Value plain_value(const std::string& name, Shape shape) {
  Value value;
  value.name = name;
  value.shape = std::move(shape);
  return value;
}

/// x → a → b → c → …, all of one size.
Graph make_chain(int length, std::int64_t elements) {
  Graph graph;
  ValueId last = graph.add_input("x", DType::kF32, Shape{elements});
  for (int i = 0; i < length; ++i) {
    const ValueId next = graph.add_value(plain_value("v" + std::to_string(i), Shape{elements}));
    Node node;
    node.op = "Relu";
    node.inputs = {last};
    node.outputs = {next};
    graph.add_node(node);
    last = next;
  }
  graph.outputs = {last};
  return graph;
}

TEST(Arena, AChainNeedsTwoBuffersBesideItsInput) {
  const ArenaPlan plan = plan_arena(make_chain(20, 1024));
  EXPECT_EQ(plan.bytes, 3 * 4096);
}

TEST(Arena, PartsLieInsideTheirRoot) {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::kF32, Shape{1, 2, 4, 4});
  const ValueId root = graph.add_value(plain_value("both", Shape{1, 5, 4, 4}));
  std::vector<ValueId> parts;
  for (const auto& [channels, offset] : {std::pair<std::int64_t, std::int64_t>{2, 0}, {3, 2}}) {
    Value part = plain_value("part" + std::to_string(offset), Shape{1, channels, 4, 4});
    part.slice_of = SliceOf{root, 1, offset};
    parts.push_back(graph.add_value(part));
    Node node;
    node.op = "Conv";
    node.inputs = {x};
    node.outputs = {parts.back()};
    graph.add_node(node);
  }
  graph.outputs = {root};
  const ArenaPlan plan = plan_arena(graph);
  const auto at = [&](ValueId id) { return plan.offsets[static_cast<std::size_t>(id)]; };
  EXPECT_EQ(at(parts[0]), at(root));
  EXPECT_EQ(at(parts[1]), at(root) + 2 * 16 * 4);
  EXPECT_EQ(plan.bytes, 2 * 16 * 4 + 5 * 16 * 4);
}

TEST(Arena, BlockedLayoutsCountTheirPadding) {
  Value value = plain_value("v", Shape{2, 3, 4, 4});
  EXPECT_EQ(value_bytes(value), 2 * 3 * 16 * 4);
  value.layout = Layout::kBlocked16;
  EXPECT_EQ(value_bytes(value), 2 * 16 * 16 * 4);
}

}  // namespace
}  // namespace gacer
