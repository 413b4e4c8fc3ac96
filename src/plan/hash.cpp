#include "plan/hash.h"

#include <initializer_list>

#include "base/hasher.h"

namespace gacer {

std::size_t hash_steps(const Plan& plan) {
  Hasher hasher;
  hasher.add(static_cast<int>(plan.mode));
  for (const Lane& lane : plan.lanes) {
    hasher.add(static_cast<std::uint64_t>(lane.steps.size()));
    for (const Step& step : lane.steps) {
      for (const std::int64_t number : std::initializer_list<std::int64_t>{
               step.tenant, step.node, step.iteration, step.chunk.begin, step.chunk.end,
               step.budget.begin, step.budget.end, step.priority})
        hasher.add(number);
      hasher.add(std::string_view(step.variant));
    }
  }
  for (const SyncPoint& sync : plan.sync_points)
    for (const StepRef& ref : {sync.before, sync.after}) {
      hasher.add(ref.lane);
      hasher.add(ref.index);
    }
  return hasher.value();
}

}  // namespace gacer
