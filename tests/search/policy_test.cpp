#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "base/error.h"
#include "cost/model.h"
#include "plan/verify.h"
#include "search/search.h"
#include "tests/support/synthetic.h"

namespace gacer {
namespace {

struct Made {
  Plan plan;
  double ms = 0;
};

Made make(const test::Synthetic& synthetic, std::string_view policy, std::int64_t evaluations,
          std::uint64_t seed = 1, Evaluator* device = nullptr, std::int64_t measurements = 12) {
  ModelEvaluator model(synthetic.problem, synthetic.rows);
  SearchContext context{synthetic.problem, synthetic.rows, model};
  context.limits.evaluations = evaluations;
  context.limits.measurements = measurements;
  context.seed = seed;
  context.device = device;
  Made made{find_policy(policy).make(context), 0};
  const Result<double> ms = model.evaluate(made.plan);
  EXPECT_TRUE(ms.ok()) << ms.reason();
  made.ms = ms.ok() ? *ms : 1e300;
  return made;
}

/// A device whose rounds take the model's time, times a factor of which the model knows nothing.
class FakeDevice final : public Evaluator {
 public:
  FakeDevice(Evaluator& model, std::function<double(const Plan&)> factor)
      : model_(model), factor_(std::move(factor)) {}
  Result<double> evaluate(const Plan& plan) override {
    ++calls;
    const Result<double> ms = model_.evaluate(plan);
    if (!ms) return ms;
    return *ms * factor_(plan);
  }
  int calls = 0;

 private:
  Evaluator& model_;
  std::function<double(const Plan&)> factor_;
};

double best_simple(const test::Synthetic& synthetic) {
  return std::min({make(synthetic, "sequential", 500).ms, make(synthetic, "streams", 500).ms,
                   make(synthetic, "partition", 500).ms});
}

class Policies : public testing::TestWithParam<std::uint64_t> {};

TEST_P(Policies, MakeLegalPlansOfTheirNameWithinTheirLimits) {
  const auto synthetic = test::make_random_synthetic(GetParam());
  for (const Policy* policy : all_policies()) {
    SCOPED_TRACE(policy->name);
    const Made made = make(synthetic, policy->name, 150);
    EXPECT_NO_THROW(verify_plan(synthetic.problem, made.plan));
    EXPECT_EQ(made.plan.policy, policy->name);
    EXPECT_TRUE(made.plan.notes.contains("predicted_ms"));
    EXPECT_EQ(parse_plan(to_json(made.plan)), made.plan);
  }
}

TEST_P(Policies, AreDeterministic) {
  const auto synthetic = test::make_random_synthetic(GetParam());
  for (const Policy* policy : all_policies()) {
    SCOPED_TRACE(policy->name);
    EXPECT_EQ(make(synthetic, policy->name, 100, 7).plan,
              make(synthetic, policy->name, 100, 7).plan);
  }
}

TEST_P(Policies, RegulatedOnesAreNeverWorseThanTheBestSimpleByTheModel) {
  const auto synthetic = test::make_random_synthetic(GetParam());
  const double simple = best_simple(synthetic);
  for (const char* policy :
       {"gacer", "spatial", "temporal", "chunks", "variants", "budgets", "priorities", "syncs"}) {
    EXPECT_LE(make(synthetic, policy, 600).ms, simple * (1 + 1e-9)) << policy;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Policies, testing::Range<std::uint64_t>(1, 25));

TEST(Policy, UnknownNameIsRefusedNamingTheKnownOnes) {
  try {
    find_policy("fastest");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    EXPECT_NE(e.message().find("sequential"), std::string::npos) << e.message();
  }
}

TEST(Policy, OnAGpuSimplePlansKeepToTheWholeDevice) {
  auto synthetic =
      test::make_synthetic(test::synthetic_device("gpu", 16),
                           {{.shape = "chain", .nodes = 12, .seed = 3, .name = "a"},
                            {.shape = "branches", .nodes = 12, .seed = 4, .name = "b"}});
  // A part of the device seems a little faster, as noise has it for small steps.
  for (const ProblemTenant& tenant : synthetic.problem.tenants) {
    const ProblemNode& node = tenant.nodes[tenant.nodes.size() / 2];
    ProfileRow row = *synthetic.rows.fastest(node.signature, node.batch, 16);
    row.width = 8;
    row.solo_ms *= 0.99;
    synthetic.rows.add(row);
  }
  for (const char* policy : {"sequential", "streams"}) {
    const Made made = make(synthetic, policy, 100);
    for (const Lane& lane : made.plan.lanes)
      for (const Step& step : lane.steps)
        EXPECT_EQ(step.budget.size(16), 16) << policy << ", node " << step.node;
  }
}

TEST(Regulated, ASlowModelLeavesTimeToMeasure) {
  const auto synthetic = test::make_random_synthetic(5);
  class SlowModel final : public ModelEvaluator {
   public:
    using ModelEvaluator::ModelEvaluator;
    Result<double> evaluate(const Plan& plan) override {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      return ModelEvaluator::evaluate(plan);
    }
  };
  SlowModel model(synthetic.problem, synthetic.rows);
  ModelEvaluator quick(synthetic.problem, synthetic.rows);
  FakeDevice device(quick, [](const Plan&) { return 1.0; });
  SearchContext context{synthetic.problem, synthetic.rows, model};
  context.device = &device;
  context.limits = {1'000'000, 20, std::chrono::milliseconds(600)};
  find_policy("gacer").make(context);
  EXPECT_GE(device.calls, 10);
}

TEST(Policy, NodesWithoutRowsAreNamed) {
  auto synthetic = test::make_random_synthetic(2);
  synthetic.problem.tenants[0].nodes[0].signature = "unheard of";
  synthetic.problem.tenants[0].identity.node_signatures[0] = "unheard of";
  for (const Policy* policy : all_policies()) {
    try {
      make(synthetic, policy->name, 50);
      FAIL() << policy->name;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kUnsupported);
      EXPECT_NE(e.message().find("y0"), std::string::npos) << e.message();
    }
  }
}

TEST(Sequential, RunsTenantsOneAfterTheOther) {
  const auto synthetic = test::make_synthetic(
      test::synthetic_device("cpu", 2),
      {{.nodes = 5, .seed = 1}, {.nodes = 4, .seed = 2, .repeat = 2}, {.nodes = 3, .seed = 3}});
  const Made made = make(synthetic, "sequential", 10);
  const auto line = simulate(synthetic.problem, synthetic.rows, made.plan);
  ASSERT_TRUE(line.ok());
  double end[3] = {0, 0, 0};
  double begin[3] = {1e9, 1e9, 1e9};
  for (const ModelStep& step : line->steps) {
    const int tenant = made.plan.step(step.step).tenant;
    begin[tenant] = std::min(begin[tenant], step.begin_ms);
    end[tenant] = std::max(end[tenant], step.end_ms);
  }
  EXPECT_LE(end[0], begin[1] + 1e-9);
  EXPECT_LE(end[1], begin[2] + 1e-9);
}

TEST(Partition, FindsTheObviousSplitOfTwoEqualTenants) {
  const auto synthetic = test::make_synthetic(test::synthetic_device("cpu", 2),
                                              {{.nodes = 20, .seed = 4}, {.nodes = 20, .seed = 4}});
  const Made made = make(synthetic, "partition", 500);
  EXPECT_LT(made.ms, make(synthetic, "sequential", 10).ms);
}

TEST(Streams, TakesTheLaunchModeThatTheDevicePrefers) {
  const auto synthetic = test::make_random_synthetic(8);
  ModelEvaluator model(synthetic.problem, synthetic.rows);
  FakeDevice device(model, [](const Plan& plan) {
    return plan.mode == LaunchMode::kMerged ? 1 : 0.5;  // free-running ones are twice as fast
  });
  EXPECT_EQ(make(synthetic, "streams", 100, 1, &device).plan.mode, LaunchMode::kFreeRunning);
  EXPECT_GT(device.calls, 1);
}

TEST(Regulated, TheDeviceDecidesNotTheModel) {
  // Wide variants only, so that the simple plans need no single core.
  const auto synthetic = test::make_synthetic(test::synthetic_device("cpu", 2),
                                              {{.nodes = 20, .seed = 4}, {.nodes = 20, .seed = 5}});
  ModelEvaluator model(synthetic.problem, synthetic.rows);
  // One tenant's narrow budgets are bad luck: regulated plans lose there.
  FakeDevice device(model, [](const Plan& plan) {
    double penalty = 1;
    for (const Lane& lane : plan.lanes)
      for (const Step& step : lane.steps) penalty += step.budget.size(plan.num_groups) == 1 ? 1 : 0;
    return penalty;
  });
  const auto on_device = [&](const Plan& plan) { return *device.evaluate(plan); };
  const double simple = std::min(on_device(make(synthetic, "sequential", 500, 1, &device).plan),
                                 on_device(make(synthetic, "partition", 500, 1, &device).plan));
  EXPECT_LE(on_device(make(synthetic, "gacer", 800, 1, &device).plan), simple * (1 + 1e-9));
}

TEST(Regulated, MeasuredChangesFindWhatTheModelDoesNotKnow) {
  const auto synthetic =
      test::make_synthetic(test::synthetic_device("gpu", 16),
                           {{.shape = "chain", .nodes = 12, .seed = 3, .name = "a"},
                            {.shape = "branches", .nodes = 12, .seed = 4, .name = "b"}});
  ModelEvaluator model(synthetic.problem, synthetic.rows);
  // It likes tenant 0's steps at a high priority.
  FakeDevice device(model, [](const Plan& plan) {
    double steps = 0;
    double high = 0;
    for (const Lane& lane : plan.lanes)
      for (const Step& step : lane.steps)
        if (step.tenant == 0) {
          ++steps;
          high += step.priority == 2 ? 1 : 0;
        }
    return 1 - 0.2 * high / steps;
  });
  const Made made = make(synthetic, "gacer", 1500, 1, &device, 300);
  EXPECT_LE(device.calls, 2 * 300);  // a comparison asks for both plans
  int low = 0;
  for (const Lane& lane : made.plan.lanes)
    for (const Step& step : lane.steps) low += step.tenant == 0 && step.priority != 2 ? 1 : 0;
  EXPECT_EQ(low, 0);
}

TEST(Regulated, TheModelIsFittedToTheDevice) {
  const auto synthetic = test::make_synthetic(test::synthetic_device("gpu", 16),
                                              {{.nodes = 20, .seed = 3, .batch = 4, .name = "a"},
                                               {.nodes = 20, .seed = 4, .batch = 4, .name = "b"},
                                               {.nodes = 20, .seed = 5, .batch = 4, .name = "c"}});
  ModelEvaluator real(synthetic.problem, synthetic.rows);
  real.set_contention({.launch_gap_ms = 0.002, .crowd_gap_ms = 0.001, .interference = 0.5});
  FakeDevice device(real, [](const Plan&) { return 1; });
  const auto search = [&](std::int64_t measurements, Contention* fitted) {
    ModelEvaluator model(synthetic.problem, synthetic.rows);
    SearchContext context{synthetic.problem, synthetic.rows, model};
    context.limits.evaluations = 1500;
    context.limits.measurements = measurements;
    context.device = &device;
    Plan plan = find_policy("gacer").make(context);
    if (fitted != nullptr) *fitted = model.contention();
    return plan;
  };
  Contention fitted;
  const Plan plan = search(40, &fitted);
  EXPECT_NEAR(fitted.launch_gap_ms, 0.002, 1e-5);
  EXPECT_NEAR(fitted.interference, 0.5, 0.15);
  EXPECT_NE(plan.notes.at("contention"), "");
  // Too few measurements to spend any on the model: a simple and a regulated plan come first.
  for (const int measurements : {1, 2, 3}) {
    search(measurements, &fitted);
    EXPECT_EQ(fitted, default_contention(/*is_width_fixed=*/false)) << measurements;
  }
  search(4, &fitted);
  EXPECT_NE(fitted, default_contention(/*is_width_fixed=*/false));
}

TEST(Regulated, StopsWhenCancelledWithALegalPlan) {
  const auto synthetic = test::make_random_synthetic(5);
  ModelEvaluator model(synthetic.problem, synthetic.rows);
  const std::atomic<bool> cancelled = true;
  SearchContext context{synthetic.problem, synthetic.rows, model};
  context.limits.evaluations = 1'000'000'000;
  context.is_cancelled = &cancelled;
  EXPECT_NO_THROW(verify_plan(synthetic.problem, find_policy("gacer").make(context)));
}

TEST(Regulated, TimeLimitEndsTheSearch) {
  const auto synthetic = test::make_random_synthetic(5);
  ModelEvaluator model(synthetic.problem, synthetic.rows);
  SearchContext context{synthetic.problem, synthetic.rows, model};
  context.limits.evaluations = 1'000'000'000;
  context.limits.time = std::chrono::milliseconds(100);
  const auto begin = std::chrono::steady_clock::now();
  static_cast<void>(find_policy("gacer").make(context));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

}  // namespace
}  // namespace gacer
