#include "plan/verify.h"

#include <algorithm>
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/support/synthetic.h"

namespace gacer {
namespace {

void expect_rejected(const Problem& problem, const Plan& plan, const std::string& part) {
  try {
    verify_plan(problem, plan);
    FAIL() << "accepted; expected: " << part;
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kPlan);
    EXPECT_NE(e.message().find(part), std::string::npos) << e.message();
  }
}

class PlanVerify : public testing::TestWithParam<std::uint64_t> {
 protected:
  PlanVerify() : made_(test::make_random_synthetic(GetParam())) {
    plan_ = test::make_random_plan(made_, GetParam());
  }
  void expect_damage(const std::function<void(Plan&)>& damage, const std::string& part) {
    Plan broken = plan_;
    damage(broken);
    expect_rejected(made_.problem, broken, part);
  }
  test::Synthetic made_;
  Plan plan_;
};

TEST_P(PlanVerify, AcceptsLegalPlans) { EXPECT_NO_THROW(verify_plan(made_.problem, plan_)); }

TEST_P(PlanVerify, SaysWhatToDoAboutAPlanOfAnotherDevice) {
  const auto expect_advice = [&](const std::string& device_id, const std::string& part) {
    expect_damage([&](Plan& p) { p.device_id = device_id; }, part);
  };
  const std::string here = made_.problem.device.profile_id();
  expect_advice("sim|A recorded device|15x8", "--device sim:FILE");
  expect_advice(here + "|cudnn=9.18.0", "it was made with cudnn 9.18.0 (here none)");
  expect_advice(here + "|cudnn=9.18.0", "`gacer plan`");
  expect_advice(made_.problem.device.kind + "|Another device|7x1", "`gacer plan`");
  expect_damage([](Plan& p) { p.tenants[0].precision = "bf16"; }, "add --precision bf16");
}

TEST_P(PlanVerify, RejectsEachKindOfDamage) {
  const auto last_step = [](Plan& plan) -> Step& { return plan.lanes.back().steps.back(); };
  expect_damage([](Plan& p) { p.device_id += "x"; }, "made for device");
  expect_damage([](Plan& p) { ++p.num_groups; }, "groups");
  expect_damage([](Plan& p) { p.tenants.pop_back(); }, "tenants");
  expect_damage([](Plan& p) { p.tenants[0].fingerprint += "0"; }, "fingerprint");
  expect_damage([](Plan& p) { p.tenants[0].batch += 1; }, "batch");
  expect_damage([](Plan& p) { p.tenants[0].repeat += 1; }, "repeat");
  expect_damage([](Plan& p) { p.tenants[0].mode = "train"; }, "mode");
  expect_damage([](Plan& p) { p.tenants[0].precision = "bf16"; }, "precision");
  expect_damage([](Plan& p) { p.tenants[0].node_names[0] = "other"; }, "node 0");
  expect_damage([](Plan& p) { p.tenants[0].node_signatures[0] = "other"; }, "node 0");
  expect_damage([](Plan& p) { p.tenants[0].node_names.clear(); }, "number of nodes");
  expect_damage([&](Plan& p) { last_step(p).chunk.end += 100; }, "outside the node's batch");
  expect_damage([&](Plan& p) { last_step(p).chunk.begin = -1; }, "outside the node's batch");
  expect_damage([&](Plan& p) { last_step(p).chunk = {0, 0}; }, "outside the node's batch");
  expect_damage([&](Plan& p) { last_step(p).node = 1000; }, "there is no node");
  expect_damage([&](Plan& p) { last_step(p).node = -1; }, "there is no node");
  expect_damage([&](Plan& p) { last_step(p).iteration = 50; }, "there is no iteration");
  expect_damage([&](Plan& p) { last_step(p).tenant = 70; }, "its lane of tenant");
  expect_damage(
      [](Plan& p) {
        p.lanes.back().tenant = 70;
        for (Step& step : p.lanes.back().steps) step.tenant = 70;
      },
      "no tenant 70");
  expect_damage([&](Plan& p) { last_step(p).budget = {0, 1000}; }, "not on the device");
  expect_damage([&](Plan& p) { last_step(p).budget = {-2, 1}; }, "not on the device");
  expect_damage([&](Plan& p) { last_step(p).variant.clear(); }, "no variant");
  expect_damage([&](Plan& p) { p.lanes.back().steps.pop_back(); }, "");
  expect_damage([&](Plan& p) { p.lanes.back().steps.push_back(last_step(p)); }, "");
  expect_damage([](Plan& p) { p.sync_points.push_back({{0, 0}, {99, 0}, -1}); }, "does not exist");
  expect_damage([](Plan& p) { p.sync_points.push_back({{0, -1}, {0, 0}, -1}); }, "does not exist");
  expect_damage([](Plan& p) { p.sync_points.push_back({{0, 0}, {0, 0}, -1}); }, "circle");
}

TEST_P(PlanVerify, RejectsMissingAndDoubledSteps) {
  Plan plan = plan_;
  plan.sync_points.clear();
  const Step victim = plan.lanes[0].steps.back();
  plan.lanes[0].steps.pop_back();
  expect_rejected(made_.problem, plan, "no step computes item");
  plan.lanes[0].steps.push_back(victim);
  plan.lanes[0].steps.push_back(victim);
  expect_rejected(made_.problem, plan, "computed twice");
}

TEST_P(PlanVerify, OrderMemoryAddsOnlyEdgesThatAreNeeded) {
  Plan plan = plan_;
  plan.sync_points.clear();
  order_memory(made_.problem, plan);
  EXPECT_NO_THROW(verify_plan(made_.problem, plan));
  Plan again = plan;
  order_memory(made_.problem, again);
  EXPECT_EQ(again, plan);
  for (std::size_t i = 0; i < plan.sync_points.size(); ++i) {
    Plan without = plan;
    without.sync_points.erase(without.sync_points.begin() + static_cast<std::ptrdiff_t>(i));
    expect_rejected(made_.problem, without, "touch the same bytes");
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, PlanVerify, testing::Range<std::uint64_t>(1, 25));

/// Two lanes, one node each, over given accesses.
struct TwoNodes {
  explicit TwoNodes(Access first, Access second) {
    made = test::make_synthetic(test::synthetic_device("cpu", 2), {{.nodes = 2, .batch = 4}});
    auto& nodes = made.problem.tenants[0].nodes;
    for (auto& node : nodes) {
      node.batch = 4;
      node.no_split_reason.clear();
      node.inputs.clear();
      node.accesses.clear();
    }
    nodes[0].accesses = {first};
    nodes[1].accesses = {second};
    plan.device_id = made.problem.device.profile_id();
    plan.num_groups = 2;
    plan.tenants = {made.problem.tenants[0].identity};
    plan.lanes = {{0, {{0, 0, 0, {0, 2}, "v", {}, 0}, {0, 1, 0, {0, 2}, "v", {}, 0}}},
                  {0, {{0, 0, 0, {2, 4}, "v", {}, 0}, {0, 1, 0, {2, 4}, "v", {}, 0}}}};
  }
  test::Synthetic made;
  Plan plan;
};

constexpr Access access(int value, std::int64_t offset, std::int64_t bytes, std::int64_t item_bytes,
                        bool is_write, bool is_batched = true) {
  return {value, offset, bytes, item_bytes, is_batched, is_write};
}

TEST(MemoryRule, ChunksOfOneValueDoNotConflict) {
  const TwoNodes outermost(access(0, 0, 400, 100, true), access(0, 0, 400, 100, false));
  EXPECT_NO_THROW(verify_plan(outermost.made.problem, outermost.plan));
  const TwoNodes strided(access(0, 0, 400, 0, true), access(0, 0, 400, 0, false));
  EXPECT_NO_THROW(verify_plan(strided.made.problem, strided.plan));
}

TEST(MemoryRule, StridedValuesThatShareBytesConflict) {
  const TwoNodes two(access(0, 0, 400, 0, true), access(1, 0, 400, 0, true));
  expect_rejected(two.made.problem, two.plan, "touch the same bytes");
}

TEST(MemoryRule, ItemsOfDifferentSizeConflictWhereTheirBytesMeet) {
  // Items of 100 bytes against items of 50: the first lane's [0, 200) holds all of the second
  // value.
  const TwoNodes two(access(0, 0, 400, 100, true), access(1, 0, 200, 50, true));
  expect_rejected(two.made.problem, two.plan, "touch the same bytes");
  const TwoNodes apart(access(0, 0, 400, 100, true), access(1, 400, 200, 50, true));
  EXPECT_NO_THROW(verify_plan(apart.made.problem, apart.plan));
}

TEST(MemoryRule, ReadersDoNotConflict) {
  const TwoNodes two(access(0, 0, 400, 0, false), access(1, 0, 400, 0, false));
  EXPECT_NO_THROW(verify_plan(two.made.problem, two.plan));
}

TEST(MemoryRule, BroadcastOperandsAreTouchedWholeByEveryChunk) {
  const TwoNodes two(access(0, 0, 400, 100, true), access(0, 0, 400, 100, false, false));
  expect_rejected(two.made.problem, two.plan, "touch the same bytes");
}

TEST(MemoryRule, BytesAreSharedInTheOrderOfNodes) {
  // One lane that writes node 1's value where node 0's has been: the other way round nobody finds
  // what it should.
  TwoNodes two(access(0, 0, 400, 0, true), access(1, 0, 400, 0, true));
  two.plan.lanes[0].steps.insert(two.plan.lanes[0].steps.end(), two.plan.lanes[1].steps.begin(),
                                 two.plan.lanes[1].steps.end());
  two.plan.lanes.pop_back();
  auto& steps = two.plan.lanes[0].steps;
  const auto by_node = [](const Step& a, const Step& b) { return a.node < b.node; };
  std::stable_sort(steps.begin(), steps.end(), by_node);
  EXPECT_NO_THROW(verify_plan(two.made.problem, two.plan));
  std::reverse(steps.begin(), steps.end());
  expect_rejected(two.made.problem, two.plan, "they are the other way round");
}

TEST(OrderMemory, LanesThatContradictAreRefusedAndLeaveThePlanAlone) {
  // Both lanes run node 1 first, memory wants each lane's node 0 before the other's node 1.
  TwoNodes two(access(0, 0, 400, 0, true), access(1, 0, 400, 0, true));
  std::swap(two.plan.lanes[0].steps[0], two.plan.lanes[0].steps[1]);
  std::swap(two.plan.lanes[1].steps[0], two.plan.lanes[1].steps[1]);
  const Plan before = two.plan;
  try {
    order_memory(two.made.problem, two.plan);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kPlan);
  }
  EXPECT_EQ(two.plan, before);
}

}  // namespace
}  // namespace gacer
