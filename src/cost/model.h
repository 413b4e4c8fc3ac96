#pragma once

#include <string>
#include <vector>

#include <gacer/plan.h>

#include "cost/contention.h"
#include "plan/evaluator.h"
#include "plan/problem.h"
#include "profile/profile.h"

namespace gacer {

/// When a step runs by the model.
struct ModelStep {
  StepRef step;
  double begin_ms = 0;
  double end_ms = 0;
};

/// A round by the model.
struct Timeline {
  double round_ms = 0;
  std::vector<ModelStep> steps;
  double utilization = 0;  ///< busy area / (groups * round)
};

/// Lower bounds of a round, each in milliseconds; 0 when a peak is unknown.
struct Bounds {
  double critical_path_ms = 0;  ///< slowest tenant alone, fastest variants
  double flop_ms = 0;
  double bytes_ms = 0;
  double area_estimate_ms = 0;  ///< sum of smallest areas: an estimate, not a bound
};

/// Contention model: plan + rows → timeline. Deterministic list scheduling of the step graph on
/// the device's groups; concurrent steps on shared groups slow each other down by their saturated
/// times, and by `contention`. Error{kPlan} for an illegal plan; a Refusal when a row is missing.
Result<Timeline> simulate(const Problem& problem, const ProfileTable& rows, const Plan& plan,
                          const Contention& contention);
inline Result<Timeline> simulate(const Problem& problem, const ProfileTable& rows,
                                 const Plan& plan) {
  return simulate(problem, rows, plan, default_contention(problem.is_width_fixed));
}
Bounds compute_bounds(const Problem& problem, const ProfileTable& rows);

/// The model as an Evaluator. References outlive it.
class ModelEvaluator : public Evaluator {
 public:
  ModelEvaluator(const Problem& problem, const ProfileTable& rows)
      : problem_(problem), rows_(rows), contention_(default_contention(problem.is_width_fixed)) {}
  Result<double> evaluate(const Plan& plan) override;
  const Contention& contention() const { return contention_; }
  void set_contention(const Contention& contention) { contention_ = contention; }

 private:
  const Problem& problem_;
  const ProfileTable& rows_;
  Contention contention_;
};

}  // namespace gacer
