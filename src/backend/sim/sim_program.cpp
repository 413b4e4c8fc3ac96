#include "backend/sim/sim_program.h"

#include "base/error.h"
#include "cost/row_cost.h"

namespace gacer::sim {

SimProgram::SimProgram(const Recording& recording, std::span<const ProgramStep> steps) {
  const int num_groups = recording.device.num_groups;
  steps_.reserve(steps.size());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const ProgramStep& from = steps[i];
    const auto* capture = dynamic_cast<const SimCapture*>(from.capture);
    require(capture != nullptr, "step {} has no capture of the sim backend", i);
    if (from.budget.begin < 0 || from.budget.end > num_groups) {
      fail(ErrorKind::kPlan, "step {} has the budget [{}, {}) on a device of {} groups", i,
           from.budget.begin, from.budget.end, num_groups);
    }
    const int width = from.budget.size(num_groups);
    const auto cost =
        find_row_cost(recording.rows, capture->signature(), capture->items(), capture->variant(),
                      width, num_groups, recording.is_width_fixed);
    if (!cost) {
      fail(ErrorKind::kPlan, "step {}: variant '{}' of {} ({} items) was not recorded at width {}",
           i, capture->variant(), capture->signature(), capture->items(), width);
    }
    SimStep to;
    to.solo_ms = cost->solo_ms;
    to.area_ms = cost->area_ms;
    to.group_begin = from.budget.is_all() ? 0 : from.budget.begin;
    to.group_end = to.group_begin + width;
    to.priority = from.priority;
    to.lane = from.lane;
    to.launches = cost->launches;
    to.waits_for = from.waits_for;
    for (int before : from.waits_for) {
      require(before >= 0 && static_cast<std::size_t>(before) < i, "step {} waits for step {}", i,
              before);
    }
    steps_.push_back(std::move(to));
    num_launches_ += capture->num_launches();
  }
  result_ = recording.is_width_fixed
                ? simulate_exclusive(num_groups, steps_)
                : simulate_shared(num_groups, steps_, default_contention(recording.is_width_fixed));
}

std::vector<StepTime> SimProgram::run_traced() {
  std::vector<StepTime> times;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    times.push_back(
        {static_cast<int>(i), result_.begin_ms[i], result_.end_ms[i], steps_[i].group_begin});
  }
  return times;
}

}  // namespace gacer::sim
