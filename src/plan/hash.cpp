#include "plan/hash.h"

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>

namespace gacer {

std::size_t hash_steps(const Plan& plan) {
  auto hash = static_cast<std::size_t>(plan.mode);
  const auto mix = [&](std::size_t value) {
    hash ^= value + 0x9E3779B97F4A7C15ULL + (hash << 6) + (hash >> 2);
  };
  const auto mix_all = [&](std::initializer_list<std::int64_t> values) {
    for (const std::int64_t value : values) mix(static_cast<std::size_t>(value));
  };
  for (const Lane& lane : plan.lanes) {
    mix(lane.steps.size());
    for (const Step& step : lane.steps) {
      mix_all({step.tenant, step.node, step.iteration, step.chunk.begin, step.chunk.end,
               step.budget.begin, step.budget.end, step.priority});
      mix(std::hash<std::string>{}(step.variant));
    }
  }
  for (const SyncPoint& sync : plan.sync_points)
    mix_all({sync.before.lane, sync.before.index, sync.after.lane, sync.after.index});
  return hash;
}

}  // namespace gacer
