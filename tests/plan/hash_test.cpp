#include "plan/hash.h"

#include <unordered_set>

#include <gtest/gtest.h>

namespace gacer {
namespace {

/// Two lanes of a few steps.
Plan make_plan() {
  Plan plan;
  for (int lane = 0; lane < 2; ++lane) {
    Lane& made = plan.lanes.emplace_back();
    for (int node = 0; node < 5; ++node) {
      Step step;
      step.tenant = lane;
      step.node = node;
      step.chunk = {0, 8};
      step.variant = "one";
      made.steps.push_back(step);
    }
  }
  return plan;
}

TEST(HashSteps, IsThatOfWhatRuns) {
  const Plan plan = make_plan();
  Plan other = plan;
  other.policy = "another";
  other.notes["why"] = "none";
  other.seed = 7;
  EXPECT_EQ(hash_steps(other), hash_steps(plan));
}

/// Searches take equal hashes for equal plans. Sync points are small numbers at the end.
TEST(HashSteps, NoTwoSyncPointsAreAlike) {
  Plan plan = make_plan();
  plan.sync_points.resize(2);
  plan.sync_points[0] = {{0, 1}, {1, 2}};
  std::unordered_set<std::size_t> hashes;
  std::size_t count = 0;
  for (int from = 0; from < 4; ++from)
    for (int before = 0; before < 160; ++before)
      for (int to = 0; to < 4; ++to)
        for (int after = 0; after < 160; ++after, ++count) {
          plan.sync_points[1] = {{from, before}, {to, after}};
          hashes.insert(hash_steps(plan));
        }
  EXPECT_EQ(hashes.size(), count);
}

TEST(HashSteps, NoTwoChangesOfStepsAreAlike) {
  std::unordered_set<std::size_t> hashes;
  std::size_t count = 0;
  for (std::size_t changed = 0; changed < 5; ++changed)
    for (int begin = 0; begin < 16; ++begin)
      for (int end = begin + 1; end <= 16; ++end)
        for (int priority = -1; priority < 3; ++priority)
          for (const char* variant : {"one", "two"}) {
            Plan plan = make_plan();
            Step& step = plan.lanes[1].steps[changed];
            step.budget = {begin, end};
            step.priority = priority;
            step.variant = variant;
            hashes.insert(hash_steps(plan));
            ++count;
          }
  EXPECT_EQ(hashes.size(), count);
}

}  // namespace
}  // namespace gacer
