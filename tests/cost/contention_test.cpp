#include "cost/contention.h"

#include <gtest/gtest.h>

#include "cost/model.h"
#include "tests/support/synthetic.h"

namespace gacer {
namespace {

/// All tenants side by side, a lane each, by the fastest row of the whole device.
Plan make_streams(const test::Synthetic& made) {
  Plan plan;
  plan.device_id = made.problem.device.profile_id();
  plan.num_groups = made.problem.device.num_groups;
  for (std::size_t t = 0; t < made.problem.tenants.size(); ++t) {
    const ProblemTenant& tenant = made.problem.tenants[t];
    plan.tenants.push_back(tenant.identity);
    Lane lane{static_cast<int>(t), {}};
    for (std::size_t n = 0; n < tenant.nodes.size(); ++n) {
      const ProblemNode& node = tenant.nodes[n];
      Step step;
      step.tenant = lane.tenant;
      step.node = static_cast<int>(n);
      step.chunk = {0, node.batch};
      step.variant = made.rows.fastest(node.signature, node.batch, plan.num_groups)->variant;
      lane.steps.push_back(step);
    }
    plan.lanes.push_back(lane);
  }
  return plan;
}

Plan make_sequential(const test::Synthetic& made) {
  Plan plan = make_streams(made);
  for (int lane = 1; lane < static_cast<int>(plan.lanes.size()); ++lane) {
    const auto last = static_cast<int>(plan.lanes[static_cast<std::size_t>(lane) - 1].steps.size());
    plan.sync_points.push_back({{lane - 1, last - 1}, {lane, 0}, -1});
  }
  return plan;
}

class FitContention : public ::testing::Test {
 protected:
  /// What a device with that contention shows.
  Contention fit(const Contention& device, const test::Synthetic& made) const {
    const Plan sequential = make_sequential(made);
    const Plan streams = make_streams(made);
    return fit_contention(made.problem, made.rows, sequential,
                          simulate(made.problem, made.rows, sequential, device)->round_ms, streams,
                          simulate(made.problem, made.rows, streams, device)->round_ms);
  }

  test::Synthetic made_ = test::make_synthetic(test::synthetic_device("gpu", 16),
                                               {{.nodes = 30, .seed = 1, .batch = 4, .name = "a"},
                                                {.nodes = 25, .seed = 2, .batch = 4, .name = "b"},
                                                {.nodes = 40, .seed = 3, .batch = 4, .name = "c"}});
};

TEST_F(FitContention, FindsWhatADeviceHas) {
  const Contention device{
      .launch_gap_ms = 0.0007, .crowd_gap_ms = 0.0012, .interference = 0.3, .set_change_ms = 0.003};
  const Contention fitted = fit(device, made_);
  EXPECT_NEAR(fitted.launch_gap_ms, device.launch_gap_ms, 1e-6);
  EXPECT_NEAR(fitted.crowd_gap_ms, device.crowd_gap_ms, 1e-6);
  EXPECT_NEAR(fitted.interference, device.interference, 1e-3);
}

TEST_F(FitContention, PredictsPlansThatWereNotMeasured) {
  // Two numbers cannot tell gaps of a crowd from interference: the plans' times come out all the
  // same.
  const Contention device{.launch_gap_ms = 0.0005, .crowd_gap_ms = 0.0004, .interference = 0.25};
  const Contention fitted = fit(device, made_);
  double before = 0;
  double after = 0;
  int plans = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const Plan plan = test::make_random_plan(made_, seed);
    const auto real = simulate(made_.problem, made_.rows, plan, device);
    if (!real) continue;
    ++plans;
    before += std::abs(simulate(made_.problem, made_.rows, plan)->round_ms / real->round_ms - 1);
    after +=
        std::abs(simulate(made_.problem, made_.rows, plan, fitted)->round_ms / real->round_ms - 1);
  }
  ASSERT_GT(plans, 10);
  EXPECT_LT(after, 0.5 * before) << after / plans << " instead of " << before / plans;
}

TEST_F(FitContention, FindsNothingWhereTheRowsSayAll) {
  const Contention fitted = fit(default_contention(/*is_width_fixed=*/false), made_);
  EXPECT_LT(fitted.launch_gap_ms, 1e-6);
  EXPECT_LT(fitted.crowd_gap_ms, 1e-6);
  EXPECT_LT(fitted.interference, 1e-4);
}

TEST_F(FitContention, ADeviceThatIsFasterThanItsRowsHasNone) {
  const Plan sequential = make_sequential(made_);
  const Plan streams = make_streams(made_);
  EXPECT_EQ(fit_contention(made_.problem, made_.rows, sequential, 1e-3, streams, 1e-3),
            default_contention(/*is_width_fixed=*/false));
}

TEST_F(FitContention, OneTenantTellsOfGapsAlone) {
  const test::Synthetic one = test::make_synthetic(
      test::synthetic_device("gpu", 16), {{.nodes = 30, .seed = 1, .batch = 4, .name = "a"}});
  const Contention fitted =
      fit({.launch_gap_ms = 0.0007, .crowd_gap_ms = 0.001, .interference = 0.3}, one);
  EXPECT_NEAR(fitted.launch_gap_ms, 0.0007, 1e-6);
  EXPECT_EQ(fitted.crowd_gap_ms, 0);
  EXPECT_EQ(fitted.interference, 0);
}

}  // namespace
}  // namespace gacer
