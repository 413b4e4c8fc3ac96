#include "cost/model.h"

#include <algorithm>
#include <chrono>
#include <map>

#include <gtest/gtest.h>

#include "base/error.h"
#include "plan/verify.h"
#include "tests/support/synthetic.h"

namespace gacer {
namespace {

class CostModel : public testing::TestWithParam<std::uint64_t> {
 protected:
  CostModel() : made_(test::make_random_synthetic(GetParam())) {
    plan_ = test::make_random_plan(made_, GetParam());
  }
  Timeline timeline() const {
    auto result = simulate(made_.problem, made_.rows, plan_);
    EXPECT_TRUE(result.ok()) << result.reason();
    return *result;
  }
  test::Synthetic made_;
  Plan plan_;
};

TEST_P(CostModel, RespectsEveryEdgeAndIsDeterministic) {
  const Timeline first = timeline();
  std::map<StepRef, ModelStep> at;
  for (const ModelStep& step : first.steps) at[step.step] = step;
  const StepGraph graph = make_step_graph(made_.problem, plan_);
  ASSERT_EQ(at.size(), graph.steps.size());
  for (std::size_t i = 0; i < graph.steps.size(); ++i) {
    const ModelStep& step = at[graph.steps[i]];
    EXPECT_LT(step.begin_ms, step.end_ms);
    EXPECT_LE(step.end_ms, first.round_ms + 1e-9);
    for (int before : graph.waits_for[i]) {
      EXPECT_LE(at[graph.steps[static_cast<std::size_t>(before)]].end_ms, step.begin_ms + 1e-9);
    }
  }
  const Timeline second = timeline();
  EXPECT_EQ(first.round_ms, second.round_ms);
  EXPECT_GT(first.utilization, 0);
  EXPECT_LE(first.utilization, 1.0 + 1e-9);
}

TEST_P(CostModel, StaysBetweenLongestStepAndTheSumOfAll) {
  const Timeline line = timeline();
  double sum = 0;
  double longest = 0;
  for (const ModelStep& step : line.steps) {
    sum += step.end_ms - step.begin_ms;
    longest = std::max(longest, step.end_ms - step.begin_ms);
  }
  EXPECT_GE(line.round_ms, longest - 1e-9);
  EXPECT_LE(line.round_ms, sum + 1e-9);
}

TEST_P(CostModel, RowsTwiceAsSlowTakeAboutTwiceAsLong) {
  const double once = timeline().round_ms;
  ProfileTable slower;
  for (ProfileRow row : made_.rows.all()) {
    row.solo_ms *= 2;
    row.saturated_ms *= 2;
    slower.add(row);
  }
  made_.rows = slower;
  const double twice = timeline().round_ms;
  EXPECT_GE(twice, 1.5 * once);
  EXPECT_LE(twice, 2.3 * once);
}

INSTANTIATE_TEST_SUITE_P(Seeds, CostModel, testing::Range<std::uint64_t>(1, 30));

TEST(CostModelRows, MissingRowIsARefusalThatNamesIt) {
  const auto made = test::make_random_synthetic(3);
  Plan plan = test::make_random_plan(made, 3);
  plan.lanes[0].steps[0].variant = "unheard of";
  const auto result = simulate(made.problem, made.rows, plan);
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.reason().find("unheard of"), std::string::npos) << result.reason();
}

TEST(CostModelRows, IllegalPlanIsAnError) {
  const auto made = test::make_random_synthetic(3);
  Plan plan = test::make_random_plan(made, 3);
  plan.lanes[0].steps[0].budget = {0, 1000};
  EXPECT_THROW(static_cast<void>(simulate(made.problem, made.rows, plan)), Error);
}

TEST(CostModelRows, WidthsWithoutARowAreEstimatedOnlyWhereVariantsAllowIt) {
  const auto made =
      test::make_synthetic(test::synthetic_device("gpu", 16), {{.nodes = 1, .batch = 1}});
  const std::string& signature = made.problem.tenants[0].nodes[0].signature;
  Plan plan;
  plan.num_groups = 16;
  const std::string variant = made.rows.rows(signature, 1).front().variant;
  plan.lanes = {{0, {{0, 0, 0, {0, 1}, variant, {0, 3}, 0}}}};
  const auto three = simulate(made.problem, made.rows, plan);
  plan.lanes[0].steps[0].budget = {0, 2};
  const auto two = simulate(made.problem, made.rows, plan);
  ASSERT_TRUE(three.ok());
  ASSERT_TRUE(two.ok());
  EXPECT_GE(two->round_ms, three->round_ms);
  Problem fixed = made.problem;
  fixed.is_width_fixed = true;
  EXPECT_FALSE(simulate(fixed, made.rows, plan).ok());
}

TEST(Bounds, HoldForRandomPlansOfWholeNodes) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    const auto made = test::make_random_synthetic(seed);
    const Bounds bounds = compute_bounds(made.problem, made.rows);
    const Plan plan = test::make_random_plan(made, seed);
    if (summarize(plan).chunks > 0) continue;
    const auto line = simulate(made.problem, made.rows, plan);
    ASSERT_TRUE(line.ok()) << line.reason();
    EXPECT_GE(line->round_ms, bounds.critical_path_ms - 1e-9);
  }
}

TEST(Bounds, UnknownPeaksGiveZero) {
  auto made = test::make_random_synthetic(1);
  made.problem.device.peak_flops = 0;
  made.problem.device.peak_bandwidth = 0;
  const Bounds bounds = compute_bounds(made.problem, made.rows);
  EXPECT_EQ(bounds.flop_ms, 0);
  EXPECT_EQ(bounds.bytes_ms, 0);
  EXPECT_GT(bounds.area_estimate_ms, 0);
}

TEST(CostModelSpeed, EvaluatesThousandsOfPlansASecond) {
  std::vector<test::SyntheticTenant> tenants;
  for (std::uint64_t t = 0; t < 3; ++t) tenants.push_back({.nodes = 100, .seed = t + 1});
  for (const char* kind : {"cpu", "gpu"}) {
    const auto made =
        test::make_synthetic(test::synthetic_device(kind, kind[0] == 'c' ? 2 : 17), tenants);
    const Plan plan = test::make_random_plan(made, 1);
    ModelEvaluator model(made.problem, made.rows);
    const auto begin = std::chrono::steady_clock::now();
    constexpr int kRuns = 200;
    for (int i = 0; i < kRuns; ++i) ASSERT_TRUE(model.evaluate(plan).ok());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    RecordProperty(std::string("evaluations_per_s_") + kind, std::to_string(kRuns / took.count()));
    EXPECT_LT(took.count() / kRuns, 0.02);
  }
}

}  // namespace
}  // namespace gacer
