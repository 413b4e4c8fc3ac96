#include "plan/hash.h"

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>

namespace gacer {

std::size_t hash_steps(const Plan& plan) {
  auto hash = static_cast<std::uint64_t>(plan.mode);
  // The finalizer of splitmix64: neighbouring small numbers must not cancel each other.
  const auto mix = [&](std::uint64_t value) {
    hash += value + 0x9E3779B97F4A7C15ULL;
    hash = (hash ^ (hash >> 30)) * 0xBF58476D1CE4E5B9ULL;
    hash = (hash ^ (hash >> 27)) * 0x94D049BB133111EBULL;
    hash ^= hash >> 31;
  };
  const auto mix_all = [&](std::initializer_list<std::int64_t> values) {
    for (const std::int64_t value : values) mix(static_cast<std::uint64_t>(value));
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
