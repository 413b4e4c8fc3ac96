#include <algorithm>
#include <set>
#include <utility>

#include <gacer/plan.h>

namespace gacer {

std::size_t Plan::num_steps() const {
  std::size_t count = 0;
  for (const Lane& lane : lanes) count += lane.steps.size();
  return count;
}

PlanSummary summarize(const Plan& plan) {
  PlanSummary summary;
  // A plan does not say how large a node's batch is: a step is a chunk when its node has others.
  std::set<std::tuple<int, int, int>> seen;
  std::set<std::tuple<int, int, int>> cut;
  std::set<std::pair<int, int>> budgets;
  std::set<int> priorities;
  std::set<int> barriers;
  for (const Lane& lane : plan.lanes) {
    for (const Step& step : lane.steps) {
      const std::tuple key{step.tenant, step.iteration, step.node};
      if (!seen.insert(key).second) cut.insert(key);
      if (!step.budget.is_all() && step.budget.size(plan.num_groups) < plan.num_groups) {
        budgets.insert({step.budget.begin, step.budget.end});
      }
      priorities.insert(step.priority);
    }
  }
  for (const Lane& lane : plan.lanes) {
    summary.chunks += static_cast<std::size_t>(
        std::count_if(lane.steps.begin(), lane.steps.end(), [&](const Step& step) {
          return cut.contains({step.tenant, step.iteration, step.node});
        }));
  }
  for (const SyncPoint& sync : plan.sync_points) {
    if (sync.barrier >= 0) barriers.insert(sync.barrier);
  }
  summary.steps = plan.num_steps();
  summary.budgets = budgets.size();
  summary.sync_points = plan.sync_points.size();
  summary.barriers = barriers.size();
  summary.priorities = priorities.size();
  return summary;
}

}  // namespace gacer
