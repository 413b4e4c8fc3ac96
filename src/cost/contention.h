#pragma once

#include <string>

#include <gacer/plan.h>

#include "plan/problem.h"
#include "profile/profile.h"

namespace gacer {

/// What steps on shared groups cost beyond their rows, which were timed in chains of one kernel
/// with its operands in the caches, and beside copies of themselves.
struct Contention {
  double launch_gap_ms = 0;  ///< before each launch
  /// Before a step, for each that has begun and not ended, up to kMostCrowding.
  double crowd_gap_ms = 0;
  /// A step slows by this times the share of the device that others use meanwhile.
  double interference = 0;
  /// Before a step on other groups than the one before it in its lane.
  double set_change_ms = 0.003;

  std::string to_string() const;
  friend bool operator==(const Contention&, const Contention&) = default;
};
constexpr int kMostCrowding = 3;

/// Where nothing was measured: the rows alone, and changes of groups where those are free to
/// choose.
Contention default_contention(bool is_width_fixed);

/// The contention with which the model gives two measured plans their times, as far as it can: of
/// one that runs step after step, which tells of gaps, and of one that has the same steps side by
/// side. Only for devices whose steps share groups.
Contention fit_contention(const Problem& problem, const ProfileTable& rows, const Plan& sequential,
                          double sequential_ms, const Plan& streams, double streams_ms);

}  // namespace gacer
