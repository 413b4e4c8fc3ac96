#include "engine/step_check.h"

#include <algorithm>
#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core.h"
#include "tests/engine/support.h"

namespace gacer {
namespace {

/// Two tenants with inputs, and a plan of many lanes.
struct StepCheckTest : ::testing::Test {
  StepCheckTest() {
    for (std::uint64_t t = 0; t < 2; ++t)
      core.add_graph(testing::named_spec("net" + std::to_string(t), 4),
                     testing::make_random_net(20 + t, 4));
    set_inputs({5, 5});
    compiled = core.compile(testing::make_random_plan(core, random));
  }
  void set_inputs(const std::array<std::uint64_t, 2>& seeds) {
    RoundInputs inputs = make_random_inputs(core.tenants(), seeds[0]);
    inputs[1] = make_random_inputs(core.tenants(), seeds[1])[1];
    upload_inputs(core.device(), core.tenants(), inputs);
  }
  int tenant_of(const StepDifference& difference) const {
    return compiled->plan().step(difference.step).tenant;
  }

  std::mt19937 random{7};
  EngineCore core{testing::plain_options()};
  std::unique_ptr<CompiledPlan> compiled;
};

TEST_F(StepCheckTest, AnyLegalPlanMakesWhatItsStepsMakeOneAfterTheOther) {
  for (int trial = 0; trial < 5; ++trial) {
    compiled = core.compile(testing::make_random_plan(core, random));
    StepCheck check(core.device(), core.tenants(), *compiled);
    EXPECT_THAT(check.run(3), ::testing::IsEmpty());
  }
}

TEST_F(StepCheckTest, OnlyTheFirstStepsThatDifferAreTold) {
  StepCheck check(core.device(), core.tenants(), *compiled);
  set_inputs({5, 6});
  const std::vector<StepDifference> differences = check.run(1);
  ASSERT_FALSE(differences.empty());
  for (const StepDifference& difference : differences) {
    EXPECT_EQ(tenant_of(difference), 1) << "the other tenant's inputs are the same";
    EXPECT_GT(difference.bytes, 0);
    EXPECT_LE(difference.first, difference.last);
    EXPECT_LT(difference.last, difference.size);
    EXPECT_LE(difference.bytes, difference.last - difference.first + 1);
  }
  const Graph& graph = core.tenants()[1]->graph();
  for (const StepDifference& difference : differences) {
    const auto& reads = graph.node(compiled->plan().step(difference.step).node).inputs;
    EXPECT_TRUE(std::any_of(graph.inputs.begin(), graph.inputs.end(), [&](ValueId input) {
      return std::find(reads.begin(), reads.end(), input) != reads.end();
    })) << "reads no input, so it follows";
  }
  set_inputs({5, 5});
  EXPECT_THAT(check.run(1), ::testing::IsEmpty()) << "rounds before are forgotten";
}

TEST_F(StepCheckTest, DifferencesOfSeveralRoundsAddUp) {
  StepCheck check(core.device(), core.tenants(), *compiled);
  set_inputs({5, 6});
  const auto once = check.run(1);
  const auto thrice = check.run(3);
  ASSERT_EQ(once.size(), thrice.size());
  for (std::size_t i = 0; i < once.size(); ++i) EXPECT_EQ(3 * once[i].bytes, thrice[i].bytes);
}

}  // namespace
}  // namespace gacer
