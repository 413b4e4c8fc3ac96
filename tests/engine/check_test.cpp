#include "engine/check.h"

#include <algorithm>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core.h"
#include "tests/engine/support.h"
#include "zoo/net_builder.h"

namespace gacer {
namespace {

/// The worst of one round per lane in its adversarial order.
CheckResult check_all_orders(Checker& checker, const std::vector<ProgramStep>& steps,
                             const CompiledPlan& compiled) {
  std::vector<int> lanes;
  for (const ProgramStep& step : steps)
    if (std::find(lanes.begin(), lanes.end(), step.lane) == lanes.end()) lanes.push_back(step.lane);
  for (const int lane : lanes) {
    const CheckResult result =
        checker.check_steps(make_adversarial_order(steps, lane), compiled.workspaces());
    if (!result.outputs_match) return result;
  }
  CheckResult ok;
  ok.outputs_match = true;
  return ok;
}

/// Whether `after` can still be reached from `before` without the edge between them.
bool is_implied(const std::vector<ProgramStep>& steps, int before, int after) {
  std::vector<int> pending{after};
  std::vector<bool> seen(steps.size(), false);
  while (!pending.empty()) {
    const int step = pending.back();
    pending.pop_back();
    for (const int wait : steps[static_cast<std::size_t>(step)].waits_for) {
      if (step == after && wait == before) continue;
      if (wait == before) return true;
      if (!seen[static_cast<std::size_t>(wait)]) pending.push_back(wait);
      seen[static_cast<std::size_t>(wait)] = true;
    }
  }
  return false;
}

struct Net {
  EngineCore core{testing::plain_options()};
  Net() {
    for (int t = 0; t < 2; ++t)
      core.add_graph(testing::named_spec("net" + std::to_string(t), 2),
                     testing::make_random_net(static_cast<std::uint64_t>(t) + 20, 2));
  }
  /// Whether a step's own tenant reads what the other writes: removing such an edge must show.
  bool is_data_edge(const CompiledPlan& compiled, int before, int after) const {
    const Step& a = compiled.plan().step(compiled.refs()[static_cast<std::size_t>(before)]);
    const Step& b = compiled.plan().step(compiled.refs()[static_cast<std::size_t>(after)]);
    if (a.tenant != b.tenant || a.iteration != b.iteration) return false;
    const ProblemNode& node = core.problem()
                                  .tenants[static_cast<std::size_t>(b.tenant)]
                                  .nodes[static_cast<std::size_t>(b.node)];
    for (const DataEdge& edge : node.inputs)
      if (edge.from == a.node)
        return !edge.is_chunkwise || (a.chunk.begin < b.chunk.end && b.chunk.begin < a.chunk.end);
    return false;
  }
};

TEST(Check, EveryRemovedDataEdgeShows) {
  Net net;
  std::mt19937 random(5);
  int removed = 0;
  for (int trial = 0; trial < 3; ++trial) {
    const auto compiled = net.core.compile(testing::make_random_plan(net.core, random));
    ASSERT_TRUE(check_all_orders(net.core.checker(), compiled->steps(), *compiled).outputs_match);
    for (std::size_t after = 0; after < compiled->steps().size(); ++after) {
      for (const int before : compiled->steps()[after].waits_for) {
        if (!net.is_data_edge(*compiled, before, static_cast<int>(after))) continue;
        std::vector<ProgramStep> steps = compiled->steps();
        std::erase(steps[after].waits_for, before);
        ASSERT_FALSE(is_implied(compiled->steps(), before, static_cast<int>(after)))
            << "edges are reduced";
        EXPECT_FALSE(check_all_orders(net.core.checker(), steps, *compiled).outputs_match)
            << "edge " << before << " -> " << after << " is gone and nobody noticed";
        ++removed;
      }
    }
  }
  EXPECT_GE(removed, 10);
}

TEST(Check, EveryRemovedLaunchShows) {
  Net net;
  const auto compiled = net.core.compile(net.core.baseline());
  for (std::size_t gone = 0; gone < compiled->steps().size(); ++gone) {
    std::vector<ProgramStep> steps;
    for (std::size_t i = 0; i < compiled->steps().size(); ++i) {
      if (i == gone) continue;
      steps.push_back(compiled->steps()[i]);
      steps.back().waits_for.clear();
      if (steps.size() > 1) steps.back().waits_for = {static_cast<int>(steps.size()) - 2};
    }
    EXPECT_FALSE(net.core.checker().check_steps(steps, compiled->workspaces()).outputs_match)
        << "launch " << gone << " is gone and nobody noticed";
  }
}

TEST(Check, AdversarialOrdersRespectEveryEdge) {
  Net net;
  std::mt19937 random(8);
  const auto compiled = net.core.compile(testing::make_random_plan(net.core, random));
  // A capture may occur once only for a step to be found by it; whole plans repeat none.
  for (const int lane : {0, 1, 2, 77}) {
    const auto order = make_adversarial_order(compiled->steps(), lane);
    ASSERT_EQ(order.size(), compiled->steps().size());
    const auto place = [&](int step) {
      const Capture* capture = compiled->steps()[static_cast<std::size_t>(step)].capture;
      return std::find_if(order.begin(), order.end(),
                          [&](const ProgramStep& s) { return s.capture == capture; }) -
             order.begin();
    };
    for (std::size_t after = 0; after < compiled->steps().size(); ++after)
      for (const int before : compiled->steps()[after].waits_for)
        EXPECT_LT(place(before), place(static_cast<int>(after)));
  }
}

/// sin(2^doublings * x): the more doublings, the more a rounding of x changes.
Graph make_steep_net(int doublings) {
  NetBuilder net("steep", 2, 1);
  ValueId value = net.input("x", DType::kF32, Shape{64});
  for (int i = 0; i < doublings; ++i) value = net.add("twice" + std::to_string(i), value, value);
  return net.finish({{"y", net.op("Sin", "sin", {value})}});
}

/// What measure_conditioning() says of that net.
std::vector<std::string> conditioning(int doublings) {
  EngineCore core(testing::plain_options());
  core.add_graph(testing::named_spec("steep", 2), make_steep_net(doublings));
  const auto compiled = core.compile(core.baseline());
  EXPECT_FALSE(core.checker().has_conditioning());
  std::vector<std::string> sentences = core.checker().measure_conditioning(*compiled);
  EXPECT_TRUE(core.checker().has_conditioning());
  EXPECT_TRUE(core.checker().check(*compiled).outputs_match);
  return sentences;
}

TEST(Check, SteepModelsMayDifferMore) {
  EXPECT_TRUE(conditioning(0).empty());
  EXPECT_TRUE(conditioning(6).empty());
  const auto steep = conditioning(12);
  ASSERT_EQ(steep.size(), 1U);
  EXPECT_THAT(steep[0], ::testing::HasSubstr("output 'y' of tenant 'steep' changes by"));
  // However steep, there is an end.
  const auto chaotic = conditioning(40);
  ASSERT_EQ(chaotic.size(), 1U);
  EXPECT_THAT(chaotic[0], ::testing::HasSubstr("no more than 8.0e-04 count as equal"));
}

TEST(Check, WrongPlansAreWrongWhateverTheConditioning) {
  EngineCore core(testing::plain_options());
  core.add_graph(testing::named_spec("steep", 2), make_steep_net(12));
  const auto compiled = core.compile(core.baseline());
  core.checker().measure_conditioning(*compiled);
  std::vector<ProgramStep> steps = compiled->steps();
  steps.pop_back();
  EXPECT_FALSE(core.checker().check_steps(steps, compiled->workspaces()).outputs_match);
}

Tensor floats(std::initializer_list<float> values) {
  return Tensor::from<float>(Shape{static_cast<std::int64_t>(values.size())}, values);
}

TEST(CompareTensors, ErrorsAreRelativeToTheTensorsScale) {
  const CheckResult result = compare_tensors(floats({100, 0.005F}), floats({100, 0}), 1e-4);
  EXPECT_TRUE(result.outputs_match);
  EXPECT_NEAR(result.max_rel_error, 5e-5, 1e-7);
  EXPECT_FALSE(compare_tensors(floats({1, 0.005F}), floats({1, 0}), 1e-4).outputs_match);
}

TEST(CompareTensors, NanOnlyEqualsNan) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(compare_tensors(floats({1, nan}), floats({1, 2}), 1).outputs_match);
  EXPECT_FALSE(compare_tensors(floats({1, 2}), floats({1, nan}), 1).outputs_match);
  EXPECT_FALSE(compare_tensors(floats({1, inf}), floats({1, -inf}), 1).outputs_match);
  EXPECT_TRUE(compare_tensors(floats({1, nan}), floats({1, nan}), 1).outputs_match);
  EXPECT_TRUE(compare_tensors(floats({1.00001F, nan}), floats({1, nan}), 1e-4).outputs_match);
}

TEST(CompareTensors, IntegersCompareToo) {
  const auto ints = [](std::initializer_list<std::int64_t> values) {
    return Tensor::from<std::int64_t>(Shape{2}, values);
  };
  EXPECT_TRUE(compare_tensors(ints({3, 4}), ints({3, 4}), 1e-4).outputs_match);
  EXPECT_FALSE(compare_tensors(ints({3, 5}), ints({3, 4}), 1e-4).outputs_match);
}

}  // namespace
}  // namespace gacer
