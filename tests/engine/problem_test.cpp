#include <algorithm>

#include <gtest/gtest.h>

#include "engine/core.h"
#include "engine/make_problem.h"
#include "tests/engine/support.h"
#include "zoo/net_builder.h"

namespace gacer {
namespace {

const ProblemNode& node_of(const ProblemTenant& tenant, const std::string& op) {
  const auto found = std::find_if(tenant.nodes.begin(), tenant.nodes.end(),
                                  [&](const ProblemNode& node) { return node.op == op; });
  EXPECT_NE(found, tenant.nodes.end()) << op;
  return *found;
}

TEST(Problem, DataEdgesNameTheProducersOfEveryRead) {
  EngineCore core(testing::plain_options());
  for (std::uint64_t seed = 0; seed < 8; ++seed)
    core.add_graph(testing::named_spec("net" + std::to_string(seed), 4),
                   testing::make_random_net(seed, 4));
  for (std::size_t t = 0; t < core.tenants().size(); ++t) {
    const Graph& graph = core.tenants()[t]->graph();
    const ProblemTenant& tenant = core.problem().tenants[t];
    ASSERT_EQ(static_cast<int>(tenant.nodes.size()), graph.num_nodes());
    for (NodeId id = 0; id < graph.num_nodes(); ++id) {
      std::vector<NodeId> from;
      for (const DataEdge& edge : tenant.nodes[static_cast<std::size_t>(id)].inputs)
        from.push_back(edge.from);
      bool has_parts = false;
      for (const ValueId input : graph.node(id).inputs)
        has_parts = has_parts || (input != kNone && graph.value(input).producer == kNone &&
                                  !graph.is_constant(input));
      if (!has_parts)
        EXPECT_EQ(from, graph.predecessors(id));
      else
        for (const NodeId producer : graph.predecessors(id))
          EXPECT_EQ(std::count(from.begin(), from.end(), producer), 1);
    }
  }
}

TEST(Problem, ItemsOfTheBatchTileTheBytesOfAValue) {
  EngineCore core(testing::plain_options());
  core.add_graph(testing::named_spec("net", 6), testing::make_random_net(3, 6));
  for (const ProblemNode& node : core.problem().tenants[0].nodes) {
    EXPECT_EQ(node.batch, 6) << node.name << ": " << node.no_split_reason;
    for (const Access& access : node.accesses) {
      EXPECT_TRUE(access.is_batched);
      EXPECT_EQ(access.item_bytes * 6, access.bytes);
      EXPECT_GE(access.offset, 0);
      EXPECT_LE(access.offset + access.bytes, core.infos()[0].arena_bytes);
    }
    for (const DataEdge& edge : node.inputs) EXPECT_TRUE(edge.is_chunkwise);
  }
}

TEST(Problem, ANodeThatMixesItemsRunsWholeAndItsReadersWaitForAllOfIt) {
  NetBuilder net("mix", 4, 1);
  const ValueId x = net.input("x", DType::kF32, Shape{3});
  const ValueId a = net.relu("a", x);
  // A product over the batch: [3, 4] x [4, 3].
  Attributes perm = attrs({{"perm", std::vector<std::int64_t>{1, 0}}});
  const ValueId turned = net.op("Transpose", "turned", {a}, perm);
  const ValueId mixed = net.op("MatMul", "mixed", {turned, a});
  const Graph graph = net.finish({{"y", net.op("Sigmoid", "s", {mixed})}});
  EngineCore core(testing::plain_options());
  core.add_graph(testing::named_spec("mix", 4), graph);
  const ProblemTenant& tenant = core.problem().tenants[0];
  const ProblemNode& product = node_of(tenant, "MatMul");
  EXPECT_FALSE(product.is_splittable());
  EXPECT_FALSE(product.no_split_reason.empty());
  EXPECT_EQ(product.batch, 1);
  for (const Access& access : product.accesses) {
    EXPECT_FALSE(access.is_batched);
    EXPECT_EQ(access.item_bytes, 0);
  }
  for (const DataEdge& edge : product.inputs) EXPECT_FALSE(edge.is_chunkwise);
  EXPECT_NE(product.signature.find("/b4"), std::string::npos);
}

TEST(Problem, ReadersOfAViewWaitForItsItemsWhateverTheirShape) {
  NetBuilder net("views", 4, 1);
  const ValueId x = net.input("x", DType::kF32, Shape{3, 2});
  const ValueId a = net.op("Sigmoid", "a", {x});
  // [4, 3, 2] as [12, 2]: an item is three rows.
  const ValueId rows = net.op("Reshape", "rows", {a, net.ints("rows.shape", {-1, 2})});
  // [4, 3, 2] as [1, 4, 6]: the batch is another axis, its items lie as before.
  const ValueId inner = net.op("Reshape", "inner", {a, net.ints("inner.shape", {1, -1, 6})});
  const Graph graph =
      net.finish({{"y", net.op("Tanh", "y", {rows})}, {"z", net.op("Softmax", "z", {inner})}});
  EngineCore core(testing::plain_options());
  core.add_graph(testing::named_spec("views", 4), graph);
  const ProblemTenant& tenant = core.problem().tenants[0];
  ASSERT_EQ(tenant.nodes.size(), 3U);
  for (const char* op : {"Tanh", "Softmax"}) {
    const ProblemNode& reader = node_of(tenant, op);
    EXPECT_EQ(reader.batch, 4) << reader.no_split_reason;
    ASSERT_EQ(reader.inputs.size(), 1U);
    EXPECT_EQ(reader.inputs[0].from, 0);
    EXPECT_TRUE(reader.inputs[0].is_chunkwise);
    EXPECT_EQ(reader.accesses[0].offset, tenant.nodes[0].accesses[1].offset);
    EXPECT_EQ(reader.accesses[0].bytes, tenant.nodes[0].accesses[1].bytes);
  }
}

TEST(Problem, EqualModelsShareTheirGraphAndSignatures) {
  EngineCore core(testing::plain_options());
  TenantSpec spec = TenantSpec::parse("zoo:alexnet@1");
  core.add_tenant(spec);
  core.add_tenant(spec);
  EXPECT_EQ(&core.tenants()[0]->graph(), &core.tenants()[1]->graph());
  EXPECT_EQ(core.infos()[0].name, "alexnet");
  EXPECT_EQ(core.infos()[1].name, "alexnet#2");
  EXPECT_EQ(core.problem().tenants[0].identity.fingerprint,
            core.problem().tenants[1].identity.fingerprint);
  EXPECT_NE(core.tenants()[0]->arena->data(), core.tenants()[1]->arena->data());
}

}  // namespace
}  // namespace gacer
