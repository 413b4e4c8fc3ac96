#pragma once

#include <gacer/plan.h>

#include "base/result.h"

namespace gacer {

/// Says how long one round of a plan takes, in milliseconds, or why it cannot be run. The cost
/// model, the simulated device and the engine on a device each are one.
class Evaluator {
 public:
  virtual ~Evaluator() = default;
  virtual Result<double> evaluate(const Plan& plan) = 0;
  /// Whether `changed` takes less time than `known`, as far as that can be told.
  virtual Result<bool> is_faster(const Plan& changed, const Plan& known) {
    const Result<double> after = evaluate(changed);
    if (!after) return Refusal{after.reason()};
    const Result<double> before = evaluate(known);
    if (!before) return Refusal{before.reason()};
    return *after < *before;
  }
};

}  // namespace gacer
