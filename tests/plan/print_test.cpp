#include "plan/print.h"

#include <string>

#include <gtest/gtest.h>

#include "plan/describe.h"
#include "tests/support/synthetic.h"

namespace gacer {
namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(PlanPrint, FoldsRunsOfEqualSteps) {
  const auto made =
      test::make_synthetic(test::synthetic_device("cpu", 2), {{.nodes = 9, .batch = 1}});
  Plan plan = test::make_random_plan(made, 1);
  plan.lanes = {{0, {}}};
  plan.sync_points.clear();
  for (int i = 0; i < 9; ++i) plan.lanes[0].steps.push_back({0, i, 0, {0, 1}, "v", {0, 1}, 0});
  plan.lanes[0].steps[8].budget = {};
  const std::string text = print_plan(made.problem, plan);
  EXPECT_TRUE(contains(text, "nodes 0-7: 1 core [0, 1), whole batch")) << text;
  EXPECT_TRUE(contains(text, "node 8 y8: all 2 cores")) << text;
}

TEST(PlanPrint, CountsTheSmsOfABudget) {
  DeviceInfo gpu;  // as an H200: 12 SMs are in no group
  gpu.num_units = 132;
  gpu.units_per_group = 8;
  gpu.num_groups = 15;
  EXPECT_EQ(describe_units(gpu, {0, 8}), "64 SMs (groups [0, 8))");
  EXPECT_EQ(describe_units(gpu, {14, 15}), "8 SMs (groups [14, 15))");
  EXPECT_EQ(describe_units(gpu, {0, 15}), "all 132 SMs");
  EXPECT_EQ(describe_units(gpu, {}), "all 132 SMs");
  const DeviceInfo cpu = test::synthetic_device("cpu", 4);
  EXPECT_EQ(describe_units(cpu, {1, 3}), "2 cores [1, 3)");
  EXPECT_EQ(describe_units(cpu, {3, 4}), "1 core [3, 4)");
  EXPECT_EQ(describe_units(cpu, {0, 4}), "all 4 cores");
}

TEST(PlanPrint, ShowsBarriersWithTheStepsTheySeparate) {
  const auto made = test::make_synthetic(test::synthetic_device("cpu", 2),
                                         {{.nodes = 3, .name = "a"}, {.nodes = 3, .name = "b"}});
  Plan plan;
  for (const auto& tenant : made.problem.tenants) plan.tenants.push_back(tenant.identity);
  for (int t = 0; t < 2; ++t) {
    plan.lanes.push_back({t, {{t, 0, 0, {0, 1}, "v", {}, 0}, {t, 1, 0, {0, 1}, "v", {}, 0}}});
  }
  plan.sync_points.push_back({{0, 0}, {1, 1}, 4});
  const std::string text = print_plan(made.problem, plan);
  EXPECT_TRUE(contains(text, "barrier 4:")) << text;
  EXPECT_TRUE(contains(text, "lane 0 step 0 (tenant 'a', node 0 'y0', chunk [0, 1)) before lane 1"))
      << text;
}

TEST(PlanDiff, IsEmptyExactlyWhenPlansAreEqual) {
  const auto made = test::make_random_synthetic(11);
  const Plan plan = test::make_random_plan(made, 1);
  EXPECT_EQ(diff_plans(plan, plan), "");
  const Plan other = test::make_random_plan(made, 2);
  ASSERT_NE(plan, other);
  EXPECT_NE(diff_plans(plan, other), "");
}

TEST(PlanDiff, NamesWhatChanged) {
  const auto made = test::make_random_synthetic(11);
  const Plan plan = test::make_random_plan(made, 1);
  Plan other = plan;
  other.lanes[0].steps[0].variant = "another";
  other.notes["predicted"] = "2 ms";
  other.policy = "gacer";
  const std::string text = diff_plans(plan, other);
  EXPECT_TRUE(contains(text, "policy: random -> gacer")) << text;
  EXPECT_TRUE(contains(text, "another")) << text;
  EXPECT_TRUE(contains(text, "note predicted: 2 ms")) << text;
}

TEST(PlanSummary, CountsChunksBudgetsBarriersAndPriorities) {
  Plan plan;
  plan.num_groups = 2;
  plan.lanes = {{0,
                 {{0, 0, 0, {0, 2}, "v", {0, 1}, 1},
                  {0, 0, 0, {2, 4}, "v", {1, 2}, 1},
                  {0, 1, 0, {0, 4}, "v", {0, 2}, 0}}}};
  plan.sync_points = {{{0, 0}, {0, 2}, 1}, {{0, 1}, {0, 2}, 1}, {{0, 0}, {0, 1}, -1}};
  const PlanSummary summary = summarize(plan);
  EXPECT_EQ(summary.steps, 3U);
  EXPECT_EQ(summary.chunks, 2U);
  EXPECT_EQ(summary.budgets, 2U);
  EXPECT_EQ(summary.sync_points, 3U);
  EXPECT_EQ(summary.barriers, 1U);
  EXPECT_EQ(summary.priorities, 2U);
}

}  // namespace
}  // namespace gacer
