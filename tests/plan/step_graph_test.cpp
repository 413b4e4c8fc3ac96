#include <chrono>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "base/error.h"
#include "plan/reach.h"
#include "plan/verify.h"
#include "tests/support/synthetic.h"

namespace gacer {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// Reachability the slow way: all steps before each step.
std::vector<std::set<int>> ancestors(const StepGraph& graph) {
  std::vector<std::set<int>> result(graph.steps.size());
  for (int step : graph.order) {
    for (int before : graph.waits_for[at(step)]) {
      result[at(step)].insert(before);
      result[at(step)].insert(result[at(before)].begin(), result[at(before)].end());
    }
  }
  return result;
}

TEST(StepGraph, OrderIsTopologicalAndComplete) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const auto made = test::make_random_synthetic(seed);
    const StepGraph graph = make_step_graph(made.problem, test::make_random_plan(made, seed));
    std::vector<int> position(graph.steps.size(), -1);
    for (std::size_t i = 0; i < graph.order.size(); ++i) {
      position[at(graph.order[i])] = static_cast<int>(i);
    }
    ASSERT_EQ(graph.order.size(), graph.steps.size());
    for (std::size_t i = 0; i < graph.steps.size(); ++i) {
      ASSERT_GE(position[i], 0);
      for (int before : graph.waits_for[i]) ASSERT_LT(position[at(before)], position[i]);
    }
  }
}

TEST(StepGraph, ReachAgreesWithAncestorSets) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto made = test::make_random_synthetic(seed);
    const StepGraph graph = make_step_graph(made.problem, test::make_random_plan(made, seed));
    const Reach reach(graph);
    const auto expected = ancestors(graph);
    for (int a = 0; a < static_cast<int>(graph.steps.size()); ++a) {
      for (int b = 0; b < static_cast<int>(graph.steps.size()); ++b) {
        ASSERT_EQ(reach.is_before(a, b), expected[at(b)].contains(a)) << a << " " << b;
      }
    }
  }
}

TEST(StepGraph, ReductionKeepsReachabilityAndEveryEdgeCounts) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto made = test::make_random_synthetic(seed);
    StepGraph graph = make_step_graph(made.problem, test::make_random_plan(made, seed));
    const auto before = ancestors(graph);
    reduce_edges(graph);
    ASSERT_EQ(ancestors(graph), before);
    for (auto& edges : graph.waits_for) {
      if (edges.empty()) continue;
      const auto saved = edges;
      edges.erase(edges.begin());
      ASSERT_NE(ancestors(graph), before);
      edges = saved;
    }
    if (seed > 6) break;  // quadratic
  }
}

TEST(StepGraph, ChunksWaitForTheProducerChunksTheyIntersect) {
  auto made = test::make_synthetic(test::synthetic_device("cpu", 2), {{.nodes = 2, .batch = 8}});
  for (auto& node : made.problem.tenants[0].nodes) {
    node.batch = 8;
    node.no_split_reason.clear();
  }
  Plan plan;
  plan.tenants.push_back(made.problem.tenants[0].identity);
  plan.lanes = {{0, {{0, 0, 0, {0, 3}, "v", {}, 0}}},
                {0, {{0, 0, 0, {3, 8}, "v", {}, 0}}},
                {0, {{0, 1, 0, {0, 2}, "v", {}, 0}}},
                {0, {{0, 1, 0, {2, 4}, "v", {}, 0}}},
                {0, {{0, 1, 0, {4, 8}, "v", {}, 0}}}};
  const StepGraph chunkwise = make_step_graph(made.problem, plan);
  EXPECT_EQ(chunkwise.waits_for[2], std::vector<int>{0});
  EXPECT_EQ(chunkwise.waits_for[3], (std::vector<int>{0, 1}));
  EXPECT_EQ(chunkwise.waits_for[4], std::vector<int>{1});
  made.problem.tenants[0].nodes[1].inputs[0].is_chunkwise = false;
  const StepGraph whole = make_step_graph(made.problem, plan);
  for (int step : {2, 3, 4}) EXPECT_EQ(whole.waits_for[at(step)], (std::vector<int>{0, 1}));
}

TEST(StepGraph, AmongReadyStepsHigherPriorityComesFirst) {
  const auto made = test::make_synthetic(test::synthetic_device("cpu", 2),
                                         {{.nodes = 4, .seed = 1}, {.nodes = 4, .seed = 2}});
  Plan plan;
  for (const auto& tenant : made.problem.tenants) plan.tenants.push_back(tenant.identity);
  for (int t = 0; t < 2; ++t) {
    plan.lanes.push_back({t, {}});
    for (int n = 0; n < 4; ++n) plan.lanes[at(t)].steps.push_back({t, n, 0, {0, 1}, "v", {}, t});
  }
  EXPECT_EQ(make_step_graph(made.problem, plan).order, (std::vector<int>{4, 5, 6, 7, 0, 1, 2, 3}));
}

TEST(StepGraph, CycleIsReportedWithItsSteps) {
  const auto made = test::make_synthetic(test::synthetic_device("cpu", 2),
                                         {{.nodes = 3, .seed = 1}, {.nodes = 3, .seed = 2}});
  Plan plan;
  for (const auto& tenant : made.problem.tenants) plan.tenants.push_back(tenant.identity);
  for (int t = 0; t < 2; ++t) {
    plan.lanes.push_back({t, {}});
    for (int n = 0; n < 3; ++n) plan.lanes[at(t)].steps.push_back({t, n, 0, {0, 1}, "v", {}, 0});
  }
  plan.sync_points = {{{0, 2}, {1, 0}, -1}, {{1, 1}, {0, 1}, -1}};
  try {
    make_step_graph(made.problem, plan);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kPlan);
    for (const char* part : {"circle", "lane 0 step 1", "lane 0 step 2", "lane 1 step 0"}) {
      EXPECT_NE(e.message().find(part), std::string::npos) << e.message();
    }
  }
}

TEST(StepGraph, LargePlansTakeWellUnderASecond) {
  std::vector<test::SyntheticTenant> tenants;
  for (std::uint64_t t = 0; t < 6; ++t) {
    tenants.push_back({.shape = "branches", .nodes = 500, .seed = t + 1, .batch = 4});
  }
  const auto made = test::make_synthetic(test::synthetic_device("cpu", 4), tenants);
  const Plan plan = test::make_random_plan(made, 5);
  ASSERT_GT(plan.num_steps(), 4000U);
  const auto begin = std::chrono::steady_clock::now();
  verify_plan(made.problem, plan);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(took.count(), 2.0);  // about 0.05 s; generous, for sanitizers
}

}  // namespace
}  // namespace gacer
