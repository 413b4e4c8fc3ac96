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
};

}  // namespace gacer
