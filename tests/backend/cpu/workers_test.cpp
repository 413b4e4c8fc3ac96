#include "backend/cpu/workers.h"

#include <future>
#include <numeric>
#include <stdexcept>

#include <gtest/gtest.h>

namespace gacer::cpu {
namespace {

WorkerOptions unpinned() { return {.cores = {}, .is_pinned = false}; }

/// Runs `body(team)` on the leader of a team of all workers and waits.
void run_on_team(WorkerGroup& workers, const std::function<void(StepTeam&)>& body) {
  struct Call {
    WorkerGroup& workers;
    const std::function<void(StepTeam&)>& body;
    std::promise<void> done;
  } call{workers, body, {}};
  workers.post(0, Task{[](void* context, int) {
                         auto& self = *static_cast<Call*>(context);
                         try {
                           self.body(self.workers.team(0, self.workers.size()));
                           self.done.set_value();
                         } catch (...) {
                           self.done.set_exception(std::current_exception());
                         }
                       },
                       &call, 0});
  std::future<void> done = call.done.get_future();
  done.get();
}

TEST(Workers, TeamRunsEachMemberOnce) {
  WorkerGroup workers(4, unpinned());
  for (int round = 0; round < 200; ++round) {
    std::vector<int> counts(4, 0);
    run_on_team(workers, [&](StepTeam& team) {
      ASSERT_EQ(team.size(), 4);
      team.run([&](int member) { ++counts[static_cast<std::size_t>(member)]; });
      team.run([&](int member) { ++counts[static_cast<std::size_t>(member)]; });
    });
    EXPECT_EQ(counts, std::vector<int>(4, 2));
  }
}

TEST(Workers, ParallelForCoversTheRange) {
  WorkerGroup workers(3, unpinned());
  std::vector<int> hits(1000, 0);
  run_on_team(workers, [&](StepTeam& team) {
    team.parallel_for(1000, 10, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) ++hits[static_cast<std::size_t>(i)];
    });
  });
  EXPECT_EQ(hits, std::vector<int>(1000, 1));
}

TEST(Workers, ExceptionOfAnyMemberReachesTheLeader) {
  WorkerGroup workers(4, unpinned());
  for (int thrower = 0; thrower < 4; ++thrower) {
    EXPECT_THROW(run_on_team(workers,
                             [&](StepTeam& team) {
                               team.run([&](int member) {
                                 if (member == thrower) throw std::runtime_error("member");
                               });
                             }),
                 std::runtime_error);
  }
}

TEST(Workers, BarrierSeparatesPhases) {
  constexpr int kSize = 4;
  WorkerGroup workers(kSize, unpinned());
  std::vector<int> phase_sums(50, 0);
  std::vector<int> values(kSize, 0);
  run_on_team(workers, [&](StepTeam& team) {
    team.run([&](int member) {
      for (std::size_t phase = 0; phase < phase_sums.size(); ++phase) {
        values[static_cast<std::size_t>(member)] = static_cast<int>(phase);
        team.barrier();
        if (member == 0) phase_sums[phase] = std::accumulate(values.begin(), values.end(), 0);
        team.barrier();
      }
    });
  });
  for (std::size_t phase = 0; phase < phase_sums.size(); ++phase)
    EXPECT_EQ(phase_sums[phase], kSize * static_cast<int>(phase));
}

TEST(Workers, RegionMayUseFewerMembers) {
  WorkerGroup workers(4, unpinned());
  std::vector<int> counts(4, 0);
  run_on_team(workers, [&](StepTeam& team) {
    const auto count = [](void* context, int member) {
      ++(*static_cast<std::vector<int>*>(context))[static_cast<std::size_t>(member)];
    };
    team.begin_region(count, &counts, 2);
    count(&counts, 0);
    team.end_region();
  });
  EXPECT_EQ(counts, (std::vector<int>{1, 1, 0, 0}));
}

}  // namespace
}  // namespace gacer::cpu
