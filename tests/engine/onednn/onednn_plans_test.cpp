#include <gtest/gtest.h>

#include "engine/core.h"
#include "ops/op_def.h"
#include "tests/engine/support.h"
#include "zoo/net_builder.h"

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

TEST(OneDnnPlans, SteepModelsMatchOnceTheirConditioningIsKnown) {
  std::vector<std::string> warnings;
  EngineOptions options = testing::plain_options("");
  options.on_warning = [&](const std::string& text) { warnings.push_back(text); };
  EngineCore core(options);
  NetBuilder net("steep", 3, 5);
  ValueId value =
      net.conv("conv", net.input("x", DType::kF32, Shape{32, 9, 9}), 32, {3, 1, 1, 1}, true);
  for (int i = 0; i < 8; ++i) value = net.add("twice" + std::to_string(i), value, value);
  core.add_graph(testing::named_spec("steep", 3),
                 net.finish({{"y", net.op("Sin", "sin", {value})}}));
  std::mt19937 random(3);
  int num_far = 0;
  for (int trial = 0; trial < 8; ++trial) {
    const auto compiled = core.compile(testing::make_random_plan(core, random));
    const CheckResult result = core.check(*compiled);
    EXPECT_TRUE(result.outputs_match) << result.worst;
    if (result.max_rel_error > tolerance(Precision::kF32)) ++num_far;
  }
  // Which algorithms there are, and so whether plans differ by that much, is the machine's affair.
  EXPECT_EQ(warnings.empty(), num_far == 0);
}

}  // namespace
}  // namespace gacer
