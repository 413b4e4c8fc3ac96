#include "engine/evaluator.h"

#include <algorithm>

namespace gacer {

Result<double> DeviceEvaluator::evaluate(const Plan& plan) {
  std::unique_ptr<CompiledPlan> compiled;
  try {
    compiled = compiler_.compile(problem_, plan);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kPlan && error.kind() != ErrorKind::kUnsupported &&
        error.kind() != ErrorKind::kOutOfMemory)
      throw;
    return Refusal{error.message()};
  }
  ++num_measured_;
  compiled->run();
  double best = compiled->run();
  for (int round = 1; round < num_rounds_; ++round) best = std::min(best, compiled->run());
  return best;
}

}  // namespace gacer
