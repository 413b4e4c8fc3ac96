#include "search/gang_schedule.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "cost/model.h"
#include "plan/verify.h"
#include "search/search.h"
#include "tests/support/synthetic.h"

namespace gacer {
namespace {

/// Rows without contention whose operators gain nothing from a second core beyond its share.
test::Synthetic make_plain(const std::vector<test::SyntheticTenant>& tenants, double scaling) {
  auto made = test::make_synthetic(test::synthetic_device("cpu", 2), tenants);
  ProfileTable rows;
  for (ProfileRow row : made.rows.all()) {
    const ProfileRow* one = nullptr;
    for (const ProfileRow& other : made.rows.rows(row.signature, row.items)) {
      if (other.width == 1 && (!one || other.solo_ms < one->solo_ms)) one = &other;
    }
    row.solo_ms = row.width == 1 ? one->solo_ms : one->solo_ms / scaling;
    row.saturated_ms = row.solo_ms * row.width / 2;
    rows.add(row);
  }
  made.rows = rows;
  return made;
}

GangGenome all_on_one_core(const Problem& problem) {
  GangGenome genome;
  genome.bias.assign(problem.tenants.size(), 1);
  for (const auto& tenant : problem.tenants) {
    genome.modes.emplace_back(tenant.nodes.size(), NodeMode::kOne);
  }
  return genome;
}

TEST(GangSchedule, RandomGenomesGiveLegalPlans) {
  std::mt19937_64 random(3);
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const auto made = test::make_random_synthetic(seed);
    if (!made.problem.is_width_fixed) continue;
    const GangScheduler scheduler(made.problem, made.rows);
    GangGenome genome = all_on_one_core(made.problem);
    for (auto& modes : genome.modes) {
      for (NodeMode& mode : modes) mode = static_cast<NodeMode>(random() % 3);
    }
    genome.is_pinned = seed % 2 == 0;
    const auto plan = render(made.problem, scheduler.schedule(genome, true), "gang", seed);
    ASSERT_TRUE(plan.ok()) << plan.reason();
    EXPECT_NO_THROW(verify_plan(made.problem, *plan)) << seed;
  }
}

TEST(GangSchedule, EqualTenantsSideBySideUseBothCoresFully) {
  const auto made = make_plain({{.nodes = 20, .seed = 5}, {.nodes = 20, .seed = 5}}, 1.2);
  const GangScheduler scheduler(made.problem, made.rows);
  const auto plan =
      render(made.problem, scheduler.schedule(all_on_one_core(made.problem), false), "gang", 1);
  ASSERT_TRUE(plan.ok());
  const auto line = simulate(made.problem, made.rows, *plan);
  ASSERT_TRUE(line.ok());
  EXPECT_GT(line->utilization, 0.98);
}

TEST(GangSchedule, WhatIsLeftAtTheEndUsesAllCores) {
  const auto made = make_plain({{.nodes = 60, .seed = 5}, {.nodes = 5, .seed = 6}}, 1.9);
  const GangScheduler scheduler(made.problem, made.rows);
  const Draft draft = scheduler.schedule(all_on_one_core(made.problem), false);
  EXPECT_EQ(draft.tenants[0].nodes.front().pieces[0].row->width, 1);
  EXPECT_EQ(draft.tenants[0].nodes.back().pieces[0].row->width, 2);
}

TEST(GangSchedule, HigherPriorityTenantsGoFirst) {
  const auto made = make_plain(
      {{.nodes = 30, .seed = 5}, {.nodes = 30, .seed = 6}, {.nodes = 5, .seed = 7, .priority = 1}},
      1.2);
  const GangScheduler scheduler(made.problem, made.rows);
  GangGenome genome = all_on_one_core(made.problem);
  const auto plan = render(made.problem, scheduler.schedule(genome, false), "gang", 1);
  ASSERT_TRUE(plan.ok());
  const auto line = simulate(made.problem, made.rows, *plan);
  ASSERT_TRUE(line.ok());
  double urgent_end = 0;
  for (const ModelStep& step : line->steps) {
    if (plan->step(step.step).tenant == 2) urgent_end = std::max(urgent_end, step.end_ms);
  }
  EXPECT_LT(urgent_end, 0.5 * line->round_ms);
}

TEST(GangSearch, ReachesHalfOfTheWorkWhereNothingContends) {
  // Six chains of any length on two cores: the optimum is half of the work, or the longest chain.
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    std::vector<test::SyntheticTenant> tenants;
    for (std::uint64_t t = 0; t < 4; ++t) {
      tenants.push_back(
          {.nodes = 10 + static_cast<int>((seed * 7 + t * 5) % 23), .seed = seed + t});
    }
    const auto made = make_plain(tenants, 1.3);
    ModelEvaluator model(made.problem, made.rows);
    SearchContext context{made.problem, made.rows, model};
    context.limits.evaluations = 1500;
    const Plan plan = find_policy("gacer").make(context);
    const Result<double> ms = model.evaluate(plan);
    ASSERT_TRUE(ms.ok());
    const Bounds bounds = compute_bounds(made.problem, made.rows);
    EXPECT_LE(*ms, 1.06 * std::max(bounds.area_estimate_ms, bounds.critical_path_ms)) << seed;
  }
}

}  // namespace
}  // namespace gacer
