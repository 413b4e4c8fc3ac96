#include <gtest/gtest.h>

#include "engine/core.h"
#include "ops/op_def.h"
#include "tests/engine/support.h"

namespace gacer {
namespace {

TEST(OneDnnPlans, TheBaselineComputesWhatPlainLoopsDo) {
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    EngineCore core(testing::plain_options(""));
    const Graph original = testing::make_random_net(seed, 3, 14, 16);
    core.add_graph(testing::named_spec("net", 3), original);
    const auto compiled = core.compile(core.baseline());
    const RoundInputs inputs = make_random_inputs(core.tenants(), 11);
    upload_inputs(core.device(), core.tenants(), inputs);
    compiled->run();
    const RoundOutputs outputs = download_outputs(core.device(), core.tenants());
    const std::vector<Tensor> expected = evaluate_graph(original, inputs[0]);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const CheckResult result = compare_tensors(outputs[0][i], expected[i], 1e-4);
      EXPECT_TRUE(result.outputs_match) << result.worst << ", seed " << seed;
    }
  }
}

TEST(OneDnnPlans, AnyLegalPlanComputesWhatTheBaselineDoes) {
  std::mt19937 random(17);
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    EngineCore core(testing::plain_options(""));
    for (std::uint64_t t = 0; t < 2; ++t)
      core.add_graph(testing::named_spec("net" + std::to_string(t), 3),
                     testing::make_random_net(100 * seed + t, 3, 10, seed % 2 == 0 ? 16 : 12));
    for (int trial = 0; trial < 4; ++trial) {
      const auto compiled = core.compile(testing::make_random_plan(core, random));
      const CheckResult result = core.checker().check(*compiled);
      EXPECT_TRUE(result.outputs_match) << result.worst << ", seed " << seed;
    }
  }
}

}  // namespace
}  // namespace gacer
