#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "engine/compile.h"
#include "engine/guard.h"
#include "plan/evaluator.h"

namespace gacer {

/// Measures plans on the device, beside rounds of the first plan that it was given:
/// what it returns is the median ratio of such pairs times that plan's time, so that a clock that
/// drifts or a neighbour's load does not decide between plans measured minutes apart. Long rounds
/// are measured less often, and so are plans that are far from the best. Plans that cannot be
/// compiled are refused with the reason.
class DeviceEvaluator final : public Evaluator {
 public:
  /// References outlive the evaluator.
  DeviceEvaluator(Compiler& compiler, const Problem& problem, int num_rounds = 7)
      : compiler_(compiler), problem_(problem), num_rounds_(num_rounds) {}

  /// Another search begins: what earlier ones measured is known to it, so the first evaluate() of
  /// each of those plans costs nothing.
  void begin_search();

  Result<double> evaluate(const Plan& plan) override;
  /// Rounds of both in turn, few when the changed plan does not lead.
  Result<bool> is_faster(const Plan& changed, const Plan& known) override;
  int num_measured() const { return num_measured_; }
  /// Of the search that goes on: seconds that compiling plans took, and running their rounds.
  double compile_s() const { return compile_s_; }
  double rounds_s() const { return rounds_s_; }

 private:
  struct Known {
    std::size_t hash = 0;
    Plan plan;  ///< without what does not change how it runs
    double ms = 0;
    bool is_new = true;  ///< to the search that goes on
  };
  Known* find(std::size_t hash, const Plan& bare);
  double measure(CompiledPlan& compiled);
  double run(CompiledPlan& compiled);
  /// A Refusal for what is the plan's fault.
  Result<std::unique_ptr<CompiledPlan>> compile(const Plan& plan);

  Compiler& compiler_;
  const Problem& problem_;
  int num_rounds_;
  int num_measured_ = 0;
  double compile_s_ = 0;
  double rounds_s_ = 0;
  std::unique_ptr<CompiledPlan> reference_;
  double reference_ms_ = 0;
  double best_ratio_ = 1;        ///< of all plans, to the reference
  double far_from_best_ = 1.25;  ///< ratio to the best from which on a few rounds are enough
  PairNoise pair_noise_;
  std::vector<Known> known_;
  std::unique_ptr<CompiledPlan> rival_;  ///< that plans were compared with last
  Plan rival_plan_;
};

}  // namespace gacer
