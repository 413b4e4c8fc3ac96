#include "backend/cpu/program.h"

#include <algorithm>
#include <atomic>
#include <random>
#include <stdexcept>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <gacer/error.h>

#include "tests/support/expect_error.h"

namespace gacer::cpu {
namespace {

WorkerOptions unpinned() { return {.cores = {}, .is_pinned = false}; }

std::unique_ptr<CpuCapture> make_capture(int team_size, std::function<void(StepTeam&)> work) {
  CpuRecorder recorder;
  recorder.set_team_size(team_size);
  recorder.add("test", std::move(work));
  return std::make_unique<CpuCapture>(std::move(recorder));
}

/// A program of random steps that checks, while it runs, that every step waits for what it lists
/// and that no core runs two steps at once.
class RandomProgram {
 public:
  RandomProgram(int num_cores, int num_steps, unsigned seed)
      : done_(static_cast<std::size_t>(num_steps)), core_use_(static_cast<std::size_t>(num_cores)) {
    std::mt19937 random(seed);
    const auto below = [&](int limit) {
      return static_cast<int>(random() % static_cast<unsigned>(limit));
    };
    for (int i = 0; i < num_steps; ++i) {
      ProgramStep step;
      const int size = 1 + below(num_cores);
      step.budget.begin = below(num_cores - size + 1);
      step.budget.end = step.budget.begin + size;
      step.priority = below(3) - 1;
      for (int edges = below(3); edges > 0 && i > 0; --edges) step.waits_for.push_back(below(i));
      captures_.push_back(make_capture(size, [this, i](StepTeam& team) { check_step(i, team); }));
      step.capture = captures_.back().get();
      steps.push_back(step);
    }
  }

  void expect_all_done(int rounds) {
    for (std::size_t i = 0; i < done_.size(); ++i) EXPECT_EQ(done_[i], rounds) << "step " << i;
    EXPECT_EQ(num_violations_, 0);
  }

  std::vector<ProgramStep> steps;

 private:
  void check_step(int index, StepTeam& team) {
    const ProgramStep& step = steps[static_cast<std::size_t>(index)];
    const int round = done_[static_cast<std::size_t>(index)];
    for (int before : step.waits_for)
      if (done_[static_cast<std::size_t>(before)] != round + 1) ++num_violations_;
    if (team.size() != step.budget.end - step.budget.begin) ++num_violations_;
    team.run([&](int member) {
      auto& use = core_use_[static_cast<std::size_t>(step.budget.begin + member)];
      if (use.fetch_add(1) != 0) ++num_violations_;
      std::this_thread::yield();
      use.fetch_sub(1);
    });
    ++done_[static_cast<std::size_t>(index)];
  }

  std::vector<std::unique_ptr<CpuCapture>> captures_;
  std::vector<std::atomic<int>> done_;
  std::vector<std::atomic<int>> core_use_;
  std::atomic<int> num_violations_{0};
};

TEST(CpuProgram, RandomGraphsKeepEdgesAndBudgets) {
  WorkerGroup workers(4, unpinned());
  for (unsigned seed = 1; seed <= 20; ++seed) {
    RandomProgram random(4, 60, seed);
    CpuProgram program(workers, random.steps);
    for (int round = 0; round < 3; ++round) EXPECT_GE(program.run(), 0);
    random.expect_all_done(3);
  }
}

TEST(CpuProgram, StepsOnDisjointBudgetsOverlap) {
  // Each waits inside until the other has begun: impossible one after the other.
  WorkerGroup workers(2, unpinned());
  std::atomic<int> begun{0};
  const auto meet = [&](StepTeam&) {
    ++begun;
    while (begun < 2) std::this_thread::yield();
  };
  const auto a = make_capture(1, meet);
  const auto b = make_capture(1, meet);
  const std::vector<ProgramStep> steps = {{.capture = a.get(), .budget = {0, 1}, .waits_for = {}},
                                          {.capture = b.get(), .budget = {1, 2}, .waits_for = {}}};
  CpuProgram program(workers, steps);
  program.run();
  EXPECT_EQ(begun, 2);
}

TEST(CpuProgram, HigherPriorityStartsFirst) {
  WorkerGroup workers(1, unpinned());
  std::vector<int> order;
  std::vector<std::unique_ptr<CpuCapture>> captures;
  std::vector<ProgramStep> steps;
  for (int i = 0; i < 6; ++i) {
    captures.push_back(make_capture(1, [&order, i](StepTeam&) { order.push_back(i); }));
    steps.push_back(
        {.capture = captures.back().get(), .budget = {0, 1}, .priority = i / 2, .waits_for = {}});
  }
  CpuProgram program(workers, steps);
  program.run();
  EXPECT_EQ(order, (std::vector<int>{4, 5, 2, 3, 0, 1}));
}

TEST(CpuProgram, WideStepIsNotStarvedByNarrowOnes) {
  // A wide step is ready at once; a long chain of narrow steps keeps core 1 busy.
  WorkerGroup workers(2, unpinned());
  std::atomic<int> narrow_done{0};
  std::atomic<int> narrow_before_wide{-1};
  const auto narrow = make_capture(1, [&](StepTeam&) { ++narrow_done; });
  const auto wide = make_capture(2, [&](StepTeam&) { narrow_before_wide = narrow_done.load(); });
  std::vector<ProgramStep> steps;
  steps.push_back({.capture = narrow.get(), .budget = {1, 2}, .waits_for = {}});
  steps.push_back({.capture = wide.get(), .budget = {}, .waits_for = {}});
  for (int i = 2; i < 50; ++i)
    steps.push_back({.capture = narrow.get(), .budget = {1, 2}, .waits_for = {}});
  CpuProgram program(workers, steps);
  program.run();
  EXPECT_EQ(narrow_before_wide, 1);
  EXPECT_EQ(narrow_done, 49);
}

TEST(CpuProgram, ExceptionStopsTheRunAndTheNextRunIsWhole) {
  WorkerGroup workers(3, unpinned());
  std::atomic<bool> throws{true};
  std::atomic<int> later{0};
  const auto bad = make_capture(2, [&](StepTeam&) {
    if (throws) throw std::runtime_error("step failed");
  });
  const auto good = make_capture(1, [&](StepTeam&) { ++later; });
  std::vector<ProgramStep> steps;
  steps.push_back({.capture = bad.get(), .budget = {0, 2}, .waits_for = {}});
  for (int i = 1; i < 20; ++i)
    steps.push_back({.capture = good.get(), .budget = {i % 3, i % 3 + 1}, .waits_for = {i - 1}});
  CpuProgram program(workers, steps);
  for (int round = 0; round < 3; ++round) {
    EXPECT_THROW(program.run(), std::runtime_error);
    EXPECT_EQ(later, 0);
  }
  throws = false;
  program.run();
  EXPECT_EQ(later, 19);
}

TEST(CpuProgram, TraceHasEveryStepInOrderOfItsEdges) {
  WorkerGroup workers(4, unpinned());
  RandomProgram random(4, 80, 7);
  CpuProgram program(workers, random.steps);
  const std::vector<StepTime> times = program.run_traced();
  ASSERT_EQ(times.size(), random.steps.size());
  for (std::size_t i = 0; i < times.size(); ++i) {
    EXPECT_EQ(times[i].step, static_cast<int>(i));
    EXPECT_EQ(times[i].unit, random.steps[i].budget.begin);
    EXPECT_GE(times[i].begin_ms, 0);
    EXPECT_GE(times[i].end_ms, times[i].begin_ms);
    for (int before : random.steps[i].waits_for)
      EXPECT_GE(times[i].begin_ms, times[static_cast<std::size_t>(before)].end_ms);
  }
}

TEST(CpuProgram, RunsRepeatedlyOnAnotherGroup) {
  WorkerGroup home(2, unpinned());
  WorkerGroup other(2, unpinned());
  RandomProgram random(2, 30, 3);
  CpuProgram program(home, random.steps);
  program.start(other, 5);
  program.wait();
  program.run();
  random.expect_all_done(6);
}

TEST(CpuProgram, RefusesVariantOfAnotherWidth) {
  WorkerGroup workers(2, unpinned());
  const auto capture = make_capture(2, [](StepTeam&) {});
  const std::vector<ProgramStep> steps = {
      {.capture = capture.get(), .budget = {0, 1}, .waits_for = {}}};
  testing::expect_error(ErrorKind::kPlan, "2 threads but has a budget of 1",
                        [&] { CpuProgram program(workers, steps); });
}

TEST(CpuProgram, RefusesBudgetOutsideTheDevice) {
  WorkerGroup workers(2, unpinned());
  const auto capture = make_capture(2, [](StepTeam&) {});
  const std::vector<ProgramStep> steps = {
      {.capture = capture.get(), .budget = {1, 3}, .waits_for = {}}};
  EXPECT_THROW(CpuProgram(workers, steps), Error);
}

TEST(CpuProgram, EmptyProgramEnds) {
  WorkerGroup workers(1, unpinned());
  CpuProgram program(workers, {});
  EXPECT_EQ(program.run(), 0);
  EXPECT_TRUE(program.run_traced().empty());
}

}  // namespace
}  // namespace gacer::cpu
