#pragma once

#include <span>
#include <vector>

#include "cost/contention.h"

namespace gacer {

/// A step as the simulators see it.
struct SimStep {
  double solo_ms = 0;  ///< alone on its groups
  double area_ms = 0;  ///< share of the whole device, in milliseconds of all of it
  int group_begin = 0;
  int group_end = 1;
  int priority = 0;  ///< higher first
  int lane = 0;
  /// Earlier steps of the list. The list is in a topological order, which also says who goes first
  /// among steps of one priority.
  std::vector<int> waits_for;
  int launches = 1;
};

struct SimResult {
  double round_ms = 0;
  std::vector<double> begin_ms;
  std::vector<double> end_ms;
  double utilization = 0;  ///< area used / (whole device * round)
};

/// Each step has all its groups to itself. A ready step (higher priority first, then list order)
/// starts when all its groups are free, and keeps those that already are for itself. Steps side by
/// side slow each other by the geometric mean of their contentions: how much longer each takes
/// beside copies of itself than alone.
SimResult simulate_exclusive(int num_groups, std::span<const SimStep> steps);

/// Steps share groups. A step at full speed asks for area_ms / solo_ms of the device, spread over
/// its groups; where the demand exceeds the groups, steps are served by priority, then evenly. Gaps
/// before steps and what steps slow each other otherwise are those of `contention`.
SimResult simulate_shared(int num_groups, std::span<const SimStep> steps,
                          const Contention& contention);

}  // namespace gacer
