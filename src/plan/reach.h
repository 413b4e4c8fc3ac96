#pragma once

#include <vector>

#include "plan/verify.h"

namespace gacer {

/// Who comes before whom in a step graph. Lanes are chains, so the steps before a step are, per
/// lane, all up to one index: steps × lanes numbers answer every question.
class Reach {
 public:
  /// Requires the graph's waits_for to contain the lane order.
  explicit Reach(const StepGraph& graph);

  /// True when `before` has finished whenever `after` starts.
  bool is_before(int before, int after) const {
    return latest(after, lane_of(before)) >= index_of(before);
  }
  /// Index in `lane` of the latest step that is before `step`, or -1.
  int latest(int step, int lane) const {
    return latest_[static_cast<std::size_t>(step) * num_lanes_ + static_cast<std::size_t>(lane)];
  }

 private:
  int lane_of(int step) const { return steps_[static_cast<std::size_t>(step)].lane; }
  int index_of(int step) const { return steps_[static_cast<std::size_t>(step)].index; }

  const std::vector<StepRef>& steps_;
  std::size_t num_lanes_;
  std::vector<int> latest_;
};

}  // namespace gacer
