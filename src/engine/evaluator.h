#pragma once

#include <string>

#include "engine/compile.h"
#include "plan/evaluator.h"

namespace gacer {

/// Measures plans on the device: compiled, warmed up, the fastest of a few rounds. Plans that
/// cannot be compiled are refused with the reason.
class DeviceEvaluator final : public Evaluator {
 public:
  /// References outlive the evaluator.
  DeviceEvaluator(Compiler& compiler, const Problem& problem, int num_rounds = 5)
      : compiler_(compiler), problem_(problem), num_rounds_(num_rounds) {}

  Result<double> evaluate(const Plan& plan) override;
  int num_measured() const { return num_measured_; }

 private:
  Compiler& compiler_;
  const Problem& problem_;
  int num_rounds_;
  int num_measured_ = 0;
};

}  // namespace gacer
