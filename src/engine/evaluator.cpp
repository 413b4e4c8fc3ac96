#include "engine/evaluator.h"

#include <algorithm>
#include <cmath>

#include "base/clock.h"
#include "engine/guard.h"
#include "plan/hash.h"

namespace gacer {
namespace {

constexpr int kMinRounds = 3;
/// Milliseconds of rounds that are enough for one plan.
constexpr double kEnoughMs = 400;
/// The reference runs beside the plan once in so many milliseconds or rounds: the clock does not
/// drift faster.
constexpr double kTurnMs = 30;
constexpr double kMostRoundsATurn = 5;
/// Plans that are slower than the best by this many deviations of a round, and by this share at
/// least, need no exact time.
constexpr double kFarDeviations = 4;
constexpr double kLeastFar = 0.02;

/// The plan as it runs: who made it and what is noted beside it is left out.
Plan bare_of(const Plan& plan) {
  Plan bare = plan;
  bare.policy.clear();
  bare.seed = 0;
  bare.notes.clear();
  return bare;
}

}  // namespace

void DeviceEvaluator::begin_search() {
  compile_s_ = 0;
  rounds_s_ = 0;
  for (Known& known : known_) known.is_new = true;
}

DeviceEvaluator::Known* DeviceEvaluator::find(std::size_t hash, const Plan& bare) {
  const auto found = std::find_if(known_.begin(), known_.end(), [&](const Known& known) {
    return known.hash == hash && known.plan == bare;
  });
  return found == known_.end() ? nullptr : &*found;
}

double DeviceEvaluator::run(CompiledPlan& compiled) {
  const AddsSeconds adds(rounds_s_);
  return compiled.run();
}

double DeviceEvaluator::measure(CompiledPlan& compiled) {
  std::vector<double> ratios;
  double spent = 0;
  double reference = 0;
  const int turn =
      static_cast<int>(std::clamp(kTurnMs / std::max(reference_ms_, 1e-6), 1.0, kMostRoundsATurn));
  for (int round = 0; round < num_rounds_; ++round) {
    if (round >= kMinRounds && spent > kEnoughMs) break;
    if (round % turn == 0) {
      reference = std::max(run(*reference_), 1e-6);
      spent += reference;
    }
    const double ms = run(compiled);
    spent += ms;
    ratios.push_back(ms / reference);
    if (round + 1 == kMinRounds &&
        *std::min_element(ratios.begin(), ratios.end()) > far_from_best_ * best_ratio_)
      break;
  }
  const double ratio = median(ratios);
  best_ratio_ = std::min(best_ratio_, ratio);
  return reference_ms_ * ratio;
}

Result<std::unique_ptr<CompiledPlan>> DeviceEvaluator::compile(const Plan& plan) {
  const AddsSeconds adds(compile_s_);
  try {
    return compiler_.compile(problem_, plan);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kPlan && error.kind() != ErrorKind::kUnsupported &&
        error.kind() != ErrorKind::kOutOfMemory)
      throw;
    return Refusal{error.message()};
  }
}

Result<bool> DeviceEvaluator::is_faster(const Plan& changed, const Plan& known) {
  Result<std::unique_ptr<CompiledPlan>> made = compile(changed);
  if (!made) return Refusal{made.reason()};
  const std::unique_ptr<CompiledPlan> compiled = *std::move(made);
  Plan bare = bare_of(known);
  if (!rival_ || rival_plan_ != bare) {
    rival_.reset();
    made = compile(known);
    if (!made) return Refusal{made.reason()};
    rival_ = *std::move(made);
    rival_plan_ = std::move(bare);
    run(*rival_);
  }
  ++num_measured_;
  run(*compiled);
  const DuelResult result =
      duel([&] { return run(*rival_); }, [&] { return run(*compiled); }, pair_noise_.deviation());
  pair_noise_.add(result);
  return result.changed_won;
}

Result<double> DeviceEvaluator::evaluate(const Plan& plan) {
  Plan bare = bare_of(plan);
  const std::size_t hash = hash_steps(bare);
  Known* known = find(hash, bare);
  if (known != nullptr && known->is_new) {
    known->is_new = false;
    return known->ms;
  }
  Result<std::unique_ptr<CompiledPlan>> made = compile(plan);
  if (!made) return Refusal{made.reason()};
  std::unique_ptr<CompiledPlan> compiled = *std::move(made);
  ++num_measured_;
  run(*compiled);
  double ms = 0;
  if (!reference_) {
    std::vector<double> times;
    for (int round = 0; round < num_rounds_; ++round) times.push_back(run(*compiled));
    reference_ms_ = ms = median(times);
    std::vector<double> deviations;
    for (const double time : times) deviations.push_back(std::abs(time - ms));
    constexpr double kDeviationOfMedian = 1.4826;  // of normal numbers
    const double deviation = kDeviationOfMedian * median(deviations) / std::max(ms, 1e-6);
    far_from_best_ = 1 + std::max(kLeastFar, kFarDeviations * deviation);
    reference_ = std::move(compiled);
  } else {
    ms = measure(*compiled);
  }
  if (known == nullptr)
    known_.push_back({hash, std::move(bare), ms, false});
  else
    known->ms = ms;
  return ms;
}

}  // namespace gacer
