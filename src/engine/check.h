#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/precision.h"
#include "engine/compile.h"
#include "engine/tenant_io.h"

namespace gacer {

/// Byte of memory that must be written before it is read: no number in any float type.
inline constexpr unsigned char kPoison = 0xFF;

struct CheckResult {
  bool outputs_match = false;
  double max_rel_error = 0;  ///< largest difference over the tensor's largest reference magnitude
  std::string worst;         ///< "tenant 'a', output 'y', element 3: 0.1, expected 0.2"
};

/// Largest difference that two ways to compute the same thing may have, of a tensor's scale.
double tolerance(Precision precision);

/// Compares tensors of one type and shape. A value that is not finite only equals its like.
CheckResult compare_tensors(const Tensor& actual, const Tensor& expected, double tolerance);

/// Largest differences that count as equal, by tenant and output.
using Tolerances = std::vector<std::vector<double>>;
/// tolerance() of each tenant's precision.
Tolerances make_tolerances(const std::vector<std::unique_ptr<PlacedTenant>>& tenants);
CheckResult compare_outputs(const std::vector<std::unique_ptr<PlacedTenant>>& tenants,
                            const RoundOutputs& actual, const RoundOutputs& expected,
                            const Tolerances& tolerances);

/// Checks that plans compute what the baseline plan computes. Every round begins with all memory
/// that a plan writes filled with NaN, and with other inputs, so that a step that did not run, or
/// ran before what it reads was there, shows.
class Checker {
 public:
  /// References outlive the checker.
  Checker(Device& device, const std::vector<std::unique_ptr<PlacedTenant>>& tenants,
          std::uint64_t seed);

  /// Outputs that `baseline` gives; they are what check() compares with. `num_rounds` different
  /// inputs. Error{kInternal} when the baseline leaves an output unwritten.
  void set_reference(CompiledPlan& baseline, int num_rounds);
  bool has_reference() const { return !rounds_.empty(); }

  /// A sentence about each output whose reference holds numbers that are not finite: there check()
  /// only sees that plans overflow alike.
  std::vector<std::string> find_overflows() const;

  /// Some models magnify rounding: a steep curve at the end, and outputs differ by more than
  /// tolerance() between two plans that are both right. Measures by how much each output of
  /// `baseline` changes when the inputs are nudged by one rounding, and from then on takes twice
  /// that for equal, but never more than kMaxWidening times tolerance(). Returns a sentence about
  /// each output for which that is more than before.
  std::vector<std::string> measure_conditioning(CompiledPlan& baseline);
  bool has_conditioning() const { return has_conditioning_; }
  static constexpr double kMaxWidening = 8;

  /// All rounds as compiled, then one round per lane in an order that the edges allow and that
  /// delays this lane as long as possible: a missing edge shows whatever the timing.
  CheckResult check(CompiledPlan& compiled);

  /// One poisoned round of a list of steps, in its own order or whatever the device makes of it.
  CheckResult check_steps(std::span<const ProgramStep> steps,
                          std::span<const std::shared_ptr<Buffer>> workspaces);

 private:
  struct Round {
    RoundInputs inputs;
    RoundOutputs outputs;
  };
  template <typename Run>
  CheckResult check_round(const Round& round, std::span<const std::shared_ptr<Buffer>> workspaces,
                          Run run);
  void poison(std::span<const std::shared_ptr<Buffer>> workspaces);
  RoundOutputs run_poisoned(CompiledPlan& plan, const RoundInputs& inputs);

  Device& device_;
  const std::vector<std::unique_ptr<PlacedTenant>>& tenants_;
  std::uint64_t seed_;
  std::vector<Round> rounds_;
  Tolerances tolerances_;
  bool has_conditioning_ = false;
};

/// The same steps one after the other, in an order that their edges allow: those of `late_lane` as
/// late as possible and, among themselves, last first; the others first come first. If an edge
/// between two steps is missing and follows from no other, the later one runs first for the lane of
/// the earlier.
std::vector<ProgramStep> make_adversarial_order(std::span<const ProgramStep> steps, int late_lane);

}  // namespace gacer
