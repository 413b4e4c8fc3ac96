#include "cost/step_sim.h"

#include <vector>

#include <gtest/gtest.h>

namespace gacer {
namespace {

SimStep step(double solo_ms, double area_ms, int begin, int end, std::vector<int> waits = {},
             int priority = 0, int lane = 0) {
  return {solo_ms, area_ms, begin, end, priority, lane, std::move(waits)};
}

TEST(ExclusiveSim, StepsOnDifferentCoresRunSideBySide) {
  const std::vector<SimStep> steps{step(3, 1.5, 0, 1), step(2, 1, 1, 2)};
  const SimResult result = simulate_exclusive(2, steps);
  EXPECT_DOUBLE_EQ(result.round_ms, 3);
  EXPECT_DOUBLE_EQ(result.end_ms[1], 2);
  EXPECT_DOUBLE_EQ(result.utilization, 5.0 / 6.0);
}

TEST(ExclusiveSim, StepsOnOneCoreTakeTurnsByPriorityThenListOrder) {
  const std::vector<SimStep> steps{step(3, 1.5, 0, 1), step(2, 1, 0, 1), step(1, .5, 0, 1, {}, 1)};
  const SimResult result = simulate_exclusive(2, steps);
  EXPECT_DOUBLE_EQ(result.begin_ms[2], 0);
  EXPECT_DOUBLE_EQ(result.begin_ms[0], 1);
  EXPECT_DOUBLE_EQ(result.begin_ms[1], 4);
  EXPECT_DOUBLE_EQ(result.round_ms, 6);
}

TEST(ExclusiveSim, WideStepsWaitForAllCoresAndKeepTheFreeOnes) {
  // The wide step comes first in the list but is ready only after step 0; core 1 stays free for it.
  const std::vector<SimStep> steps{step(1, .5, 0, 1), step(4, 2, 1, 2), step(2, 2, 0, 2, {0}),
                                   step(1, .5, 0, 1, {0})};
  const SimResult result = simulate_exclusive(2, steps);
  EXPECT_DOUBLE_EQ(result.begin_ms[2], 4);
  EXPECT_GT(result.begin_ms[3], 4);
}

TEST(ExclusiveSim, ContendingNeighboursSlowEachOther) {
  // Beside a copy of itself a step takes 1.5 times as long.
  const std::vector<SimStep> both{step(2, 1.5, 0, 1), step(2, 1.5, 1, 2)};
  EXPECT_NEAR(simulate_exclusive(2, both).round_ms, 3, 1e-9);
  const std::vector<SimStep> one{step(2, 1.5, 0, 1), step(2, 1, 1, 2)};
  EXPECT_NEAR(simulate_exclusive(2, one).round_ms, 2, 1e-9);
  const std::vector<SimStep> part{step(2, 1.5, 0, 1), step(1, .75, 1, 2)};
  // Side by side for 1.5 ms, in which the first did 1 of its 2 ms.
  EXPECT_NEAR(simulate_exclusive(2, part).round_ms, 2.5, 1e-9);
}

TEST(SharedSim, StepsThatFitTogetherDoNotSlowEachOther) {
  const std::vector<SimStep> steps{step(2, 0.8, 0, 4), step(2, 1.0, 0, 4, {}, 0, 1)};
  EXPECT_NEAR(simulate_shared(4, steps, {}).round_ms, 2, 1e-9);
}

TEST(SharedSim, CopiesEndAtTheirSaturatedTime) {
  std::vector<SimStep> steps;
  for (int i = 0; i < 10; ++i) steps.push_back(step(2, 0.7, 0, 4, {}, 0, i));
  EXPECT_NEAR(simulate_shared(4, steps, {}).round_ms, 7, 1e-9);
}

TEST(SharedSim, HigherPriorityIsServedFirst) {
  const std::vector<SimStep> steps{step(1, 1, 0, 4), step(1, 1, 0, 4, {}, 1, 1)};
  const SimResult result = simulate_shared(4, steps, {});
  EXPECT_NEAR(result.end_ms[1], 1, 1e-9);
  EXPECT_GT(result.end_ms[0], 1.9);
  EXPECT_LE(result.round_ms, 2);
}

TEST(SharedSim, DisjointBudgetsDoNotMeet) {
  const std::vector<SimStep> steps{step(2, 1, 0, 2), step(2, 1, 2, 4, {}, 0, 1)};
  EXPECT_NEAR(simulate_shared(4, steps, {}).round_ms, 2, 1e-9);
  const std::vector<SimStep> overlapping{step(2, 1, 0, 2), step(2, 1, 1, 3, {}, 0, 1)};
  const double round = simulate_shared(4, overlapping, {}).round_ms;
  EXPECT_GT(round, 2.3);
  EXPECT_LT(round, 4);
}

TEST(SharedSim, ChangingGroupsAlongALaneCosts) {
  const std::vector<SimStep> same{step(1, .1, 0, 4), step(1, .1, 0, 4, {0}),
                                  step(1, .1, 0, 4, {1})};
  const std::vector<SimStep> moving{step(1, .1, 0, 4), step(1, .1, 0, 2, {0}),
                                    step(1, .1, 0, 4, {1})};
  const Contention contention{.set_change_ms = 0.5};
  EXPECT_NEAR(simulate_shared(4, same, contention).round_ms, 3, 1e-9);
  EXPECT_NEAR(simulate_shared(4, moving, contention).round_ms, 4, 1e-9);
}

TEST(SharedSim, LaunchesTakeTimeAndMoreOfItInACrowd) {
  std::vector<SimStep> chain{step(1, .1, 0, 4), step(1, .1, 0, 4, {0})};
  chain[1].launches = 3;
  EXPECT_NEAR(simulate_shared(4, chain, {.launch_gap_ms = 0.1}).round_ms, 2.4, 1e-9);
  // What is not there yet takes nothing from others.
  const std::vector<SimStep> two{step(1, 1, 0, 4), step(1, 1, 0, 4, {}, 0, 1)};
  const SimResult result = simulate_shared(4, two, {.crowd_gap_ms = 0.25});
  EXPECT_NEAR(result.end_ms[0], 1.75, 1e-9);
  EXPECT_NEAR(result.round_ms, 2, 1e-9);
}

TEST(SharedSim, StepsSlowEachOtherByWhatTheyUse) {
  // Beside one that uses a quarter of the device.
  const std::vector<SimStep> apart{step(1, 0.25, 0, 1), step(1, 0.75, 1, 4, {}, 0, 1)};
  const SimResult result = simulate_shared(4, apart, {.interference = 0.4});
  EXPECT_GT(result.end_ms[0], result.end_ms[1]);
  EXPECT_NEAR(result.end_ms[1], 1.1, 0.01);
  const std::vector<SimStep> alone{step(1, 1, 0, 4), step(1, 1, 0, 4, {0})};
  EXPECT_NEAR(simulate_shared(4, alone, {.interference = 0.4}).round_ms, 2, 1e-9);
}

}  // namespace
}  // namespace gacer
