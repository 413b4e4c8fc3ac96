#pragma once

#include <memory>
#include <vector>

#include <gacer/engine.h>

#include "device/device.h"
#include "engine/compile.h"

namespace gacer {

/// Looks at the result of every step of every round. Results are kept from a round in which the
/// steps run one after the other, then compared, bit by bit, as soon as the plan's own rounds make
/// them: what differs depends on what runs beside it. Needs memory for all results.
class StepCheck {
 public:
  /// Keeps the results for the inputs that are there. References outlive the check.
  /// Error{kUnsupported} on a device that computes nothing, {kOutOfMemory}.
  StepCheck(Device& device, const std::vector<std::unique_ptr<PlacedTenant>>& tenants,
            const CompiledPlan& plan);

  /// Rounds of the plan with a comparison after every step; where they differed first: what waits
  /// for a step that differed, by whatever way, is left out.
  std::vector<StepDifference> run(int rounds);

 private:
  /// One output of one step.
  struct Kept {
    std::size_t step = 0;  ///< of the plan's steps()
    ByteRows rows;
    void* made = nullptr;   ///< where steps put it
    std::size_t begin = 0;  ///< of its copy in kept_
  };

  void find_results(const std::vector<std::unique_ptr<PlacedTenant>>& tenants);
  Budget budget_of(const ProgramStep& step) const;
  /// The plan's steps in `is_serial` or their own order, each with its followers.
  std::vector<ProgramStep> with_followers(
      const std::vector<std::vector<std::unique_ptr<Capture>>>& followers, bool is_serial) const;
  /// Of each step: whether it waits, directly or not, for one of `differing`.
  std::vector<bool> find_followers(const std::vector<bool>& differing) const;
  void keep();
  void compare_from_now();

  Device& device_;
  const CompiledPlan& plan_;
  std::vector<Kept> results_;
  std::unique_ptr<Buffer> kept_;
  std::unique_ptr<Buffer> found_;                                   ///< a RowDifference a result
  std::vector<std::vector<std::unique_ptr<Capture>>> comparisons_;  ///< of each step
  std::unique_ptr<Program> program_;
};

}  // namespace gacer
