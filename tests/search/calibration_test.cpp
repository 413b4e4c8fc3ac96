#include "search/calibration.h"

#include <cmath>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "search/search.h"
#include "tests/support/synthetic.h"

namespace gacer {
namespace {

/// Rows of which each variant is slower or faster than it looks, by the same factor on all widths.
ProfileTable make_truth(const ProfileTable& rows, double spread, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::map<std::tuple<std::string, std::int64_t, std::string>, double> factors;
  ProfileTable truth;
  for (ProfileRow row : rows.all()) {
    const auto [place, is_new] = factors.try_emplace({row.signature, row.items, row.variant}, 1);
    if (is_new)
      place->second = std::exp(spread * (static_cast<double>(random() % 2001) - 1000) / 1000);
    row.solo_ms *= place->second;
    row.saturated_ms *= place->second;
    truth.add(row);
  }
  return truth;
}

/// Runs plans in the times of a table; may be asked to show the steps.
class TrueDevice final : public Evaluator {
 public:
  TrueDevice(const Problem& problem, const ProfileTable& truth, bool has_traces)
      : problem_(problem), truth_(truth), has_traces_(has_traces) {}
  Result<double> evaluate(const Plan& plan) override {
    const Result<Timeline> line = simulate(problem_, truth_, plan);
    if (!line) return Refusal{line.reason()};
    return line->round_ms;
  }
  Result<std::vector<StepSpan>> trace(const Plan& plan) override {
    if (!has_traces_) return refuse("no traces");
    ++num_traces;
    return simulate(problem_, truth_, plan)->steps;
  }
  int num_traces = 0;

 private:
  const Problem& problem_;
  const ProfileTable& truth_;
  bool has_traces_;
};

test::Synthetic make_mix(std::uint64_t seed) {
  return test::make_synthetic(test::synthetic_device("gpu", 16),
                              {{.nodes = 20, .seed = seed, .batch = 4},
                               {.shape = "branches", .nodes = 20, .seed = seed + 50, .batch = 4}});
}

Plan make_plan(const test::Synthetic& made, std::string_view policy, const ProfileTable& rows,
               Evaluator* device, PolicyLimits limits) {
  ModelEvaluator model(made.problem, rows);
  SearchContext context{made.problem, rows, model, device, limits};
  return find_policy(policy).make(context);
}

double round_ms(const test::Synthetic& made, const ProfileTable& rows, const Plan& plan) {
  return simulate(made.problem, rows, plan)->round_ms;
}

TEST(Calibration, TheModelLearnsWhatStepsTake) {
  const test::Synthetic made = make_mix(1);
  const ProfileTable truth = make_truth(made.rows, 0.5, 3);
  const Plan plan = make_plan(made, "streams", made.rows, nullptr, {200, 0, {}});
  const auto traced = simulate(made.problem, truth, plan);
  Calibration calibration(made.problem, made.rows);
  ASSERT_TRUE(calibration.learn(plan, traced->steps));
  calibration.apply();
  EXPECT_NEAR(*calibration.model().evaluate(plan) / traced->round_ms, 1, 0.03);
  const auto learnt = simulate(made.problem, calibration.rows(), plan);
  double before = 0;
  double after = 0;
  for (std::size_t i = 0; i < traced->steps.size(); ++i) {
    const auto took = [&](const Timeline& line) {
      return line.steps[i].end_ms - line.steps[i].begin_ms;
    };
    before += std::abs(std::log(took(*simulate(made.problem, made.rows, plan)) / took(*traced)));
    after += std::abs(std::log(took(*learnt) / took(*traced)));
  }
  EXPECT_LT(after, 0.3 * before);
}

TEST(Calibration, WhatDidNotRunGetsTheMean) {
  const test::Synthetic made = make_mix(2);
  ProfileTable truth;
  for (ProfileRow row : made.rows.all()) {
    row.solo_ms *= 1.5;
    row.saturated_ms *= 1.5;
    truth.add(row);
  }
  const Plan plan = make_plan(made, "sequential", made.rows, nullptr, {200, 0, {}});
  Calibration calibration(made.problem, made.rows);
  ASSERT_TRUE(calibration.learn(plan, simulate(made.problem, truth, plan)->steps));
  calibration.apply();
  for (const ProfileRow& row : calibration.rows().all()) {
    const ProfileRow* before = made.rows.find(row.signature, row.items, row.variant, row.width);
    ASSERT_NE(before, nullptr);
    EXPECT_NEAR(row.solo_ms / before->solo_ms, 1.5, 0.06);
    EXPECT_NEAR(row.saturated_ms / before->saturated_ms, 1.5, 0.06);
  }
  EXPECT_THAT(calibration.describe(), ::testing::StartsWith("1 rounds traced, "));
}

TEST(Calibration, ShortStepsTeachLittleAndNoneTeachesTooMuch) {
  const test::Synthetic made = make_mix(3);
  const Plan plan = make_plan(made, "sequential", made.rows, nullptr, {200, 0, {}});
  const auto learn_as = [&](double took_ms) {
    std::vector<StepSpan> spans = simulate(made.problem, made.rows, plan)->steps;
    for (StepSpan& span : spans) span = {span.step, 0, took_ms};
    Calibration calibration(made.problem, made.rows);
    EXPECT_TRUE(calibration.learn(plan, spans));
    calibration.apply();
    double most = 0;
    for (const ProfileRow& row : calibration.rows().all()) {
      const ProfileRow* before = made.rows.find(row.signature, row.items, row.variant, row.width);
      most = std::max(most, std::abs(std::log(row.solo_ms / before->solo_ms)));
    }
    return most;
  };
  EXPECT_LT(learn_as(0.0001), 0.02);
  EXPECT_NEAR(learn_as(1000), std::log(4), 1e-9);
}

TEST(Calibration, VariantsWithoutRowsAreNotLearnt) {
  const test::Synthetic made = make_mix(4);
  Plan plan = make_plan(made, "sequential", made.rows, nullptr, {200, 0, {}});
  const auto spans = simulate(made.problem, made.rows, plan)->steps;
  plan.lanes[0].steps[0].variant = "gone";
  Calibration calibration(made.problem, made.rows);
  EXPECT_FALSE(calibration.learn(plan, spans));
  EXPECT_EQ(calibration.describe(), "no round traced");
}

TEST(Calibration, SearchesFindBetterPlansWithTraces) {
  constexpr int kMixes = 4;
  double gain = 0;
  for (std::uint64_t seed = 1; seed <= kMixes; ++seed) {
    const test::Synthetic made = make_mix(seed);
    const ProfileTable truth = make_truth(made.rows, 0.5, seed);
    double ms[2];
    for (const bool has_traces : {false, true}) {
      TrueDevice device(made.problem, truth, has_traces);
      const Plan plan = make_plan(made, "gacer", made.rows, &device, {800, 40, {}});
      ms[has_traces] = round_ms(made, truth, plan);
      EXPECT_EQ(device.num_traces > 0, has_traces);
      EXPECT_EQ(plan.notes.at("calibration") != "no round traced", has_traces);
    }
    gain += std::log(ms[false] / ms[true]) / kMixes;
  }
  EXPECT_GT(gain, 0.02);
}

}  // namespace
}  // namespace gacer
