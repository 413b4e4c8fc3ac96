#pragma once

#include <memory>
#include <string>

#include "engine/compile.h"
#include "plan/evaluator.h"

namespace gacer {

/// Measures plans on the device, each round beside a round of the first plan that it was given:
/// what it returns is the median ratio of such pairs times that plan's time, so that a clock that
/// drifts or a neighbour's load does not decide between plans measured minutes apart. Plans that
/// cannot be compiled are refused with the reason.
class DeviceEvaluator final : public Evaluator {
 public:
  /// References outlive the evaluator.
  DeviceEvaluator(Compiler& compiler, const Problem& problem, int num_rounds = 7)
      : compiler_(compiler), problem_(problem), num_rounds_(num_rounds) {}

  Result<double> evaluate(const Plan& plan) override;
  int num_measured() const { return num_measured_; }

 private:
  Compiler& compiler_;
  const Problem& problem_;
  int num_rounds_;
  int num_measured_ = 0;
  std::unique_ptr<CompiledPlan> reference_;
  double reference_ms_ = 0;
};

}  // namespace gacer
