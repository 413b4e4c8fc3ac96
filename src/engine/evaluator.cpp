#include "engine/evaluator.h"

#include <algorithm>
#include <vector>

#include "engine/guard.h"

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
  std::vector<double> times;
  if (!reference_) {
    for (int round = 0; round < num_rounds_; ++round) times.push_back(compiled->run());
    reference_ = std::move(compiled);
    reference_ms_ = median(times);
    return reference_ms_;
  }
  for (int round = 0; round < num_rounds_; ++round) {
    const double reference = reference_->run();
    times.push_back(compiled->run() / std::max(reference, 1e-6));
  }
  return reference_ms_ * median(times);
}

}  // namespace gacer
