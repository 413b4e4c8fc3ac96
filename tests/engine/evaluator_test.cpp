#include "engine/evaluator.h"

#include <gtest/gtest.h>

#include "engine/core.h"
#include "tests/engine/support.h"

namespace gacer {
namespace {

TEST(DeviceEvaluator, MeasuresLegalPlansAndRefusesOthersWithTheReason) {
  EngineCore core(testing::plain_options());
  core.add_graph(testing::named_spec("small", 1), testing::make_random_net(1, 1, 4));
  DeviceEvaluator evaluator(core.compiler(), core.problem(), 3);
  Plan plan = core.baseline();
  const Result<double> ms = evaluator.evaluate(plan);
  ASSERT_TRUE(ms.ok());
  EXPECT_GT(*ms, 0);
  EXPECT_TRUE(evaluator.evaluate(plan).ok());
  EXPECT_EQ(evaluator.num_measured(), 2);
  plan.lanes[0].steps[0].variant = "none/such=1";
  const Result<double> refused = evaluator.evaluate(plan);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.reason().find("none/such=1"), std::string::npos);
  EXPECT_EQ(evaluator.num_measured(), 2);
}

TEST(DeviceEvaluator, AnotherSearchKnowsWhatWasMeasuredOnce) {
  EngineCore core(testing::plain_options());
  core.add_graph(testing::named_spec("small", 1), testing::make_random_net(1, 1, 4));
  DeviceEvaluator evaluator(core.compiler(), core.problem(), 3);
  Plan plan = core.baseline();
  const double ms = *evaluator.evaluate(plan);
  evaluator.begin_search();
  plan.policy = "other";
  plan.notes["why"] = "the same steps under another name";
  EXPECT_EQ(*evaluator.evaluate(plan), ms);
  EXPECT_EQ(evaluator.num_measured(), 1);
  // Who asks again in the same search wants it measured again.
  EXPECT_TRUE(evaluator.evaluate(plan).ok());
  EXPECT_EQ(evaluator.num_measured(), 2);
}

TEST(DeviceEvaluator, ComparesPlansAndRefusesWhatCannotRun) {
  EngineCore core(testing::plain_options());
  TenantSpec spec = testing::named_spec("net", 4);
  spec.repeat = 20;
  core.add_graph(spec, testing::make_random_net(2, 4, 10));
  DeviceEvaluator evaluator(core.compiler(), core.problem(), 3);
  const Plan plan = core.baseline();
  Plan refused = plan;
  refused.lanes[0].steps[0].variant = "none/such=1";
  EXPECT_FALSE(evaluator.is_faster(refused, plan).ok());
  const Result<bool> same = evaluator.is_faster(plan, plan);
  ASSERT_TRUE(same.ok());
  EXPECT_EQ(evaluator.num_measured(), 1);
}

TEST(DeviceEvaluator, MoreWorkTakesLonger) {
  EngineCore core(testing::plain_options());
  TenantSpec spec = testing::named_spec("net", 4);
  core.add_graph(spec, testing::make_random_net(2, 4, 10));
  EngineCore heavy(testing::plain_options());
  spec.repeat = 100;  // far beyond what a busy machine adds
  heavy.add_graph(spec, testing::make_random_net(2, 4, 10));
  DeviceEvaluator once(core.compiler(), core.problem(), 9);
  DeviceEvaluator often(heavy.compiler(), heavy.problem(), 9);
  EXPECT_GT(*often.evaluate(heavy.baseline()), *once.evaluate(core.baseline()));
}

}  // namespace
}  // namespace gacer
