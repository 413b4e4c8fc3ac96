#include "engine/evaluator.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <initializer_list>
#include <string>

#include "engine/guard.h"

namespace gacer {
namespace {

constexpr int kMinRounds = 3;
/// Milliseconds of rounds that are enough for one plan.
constexpr double kEnoughMs = 400;
/// The reference runs beside the plan once in so many milliseconds or rounds: the clock does not
/// drift faster. Of its rounds so many count, no older than that.
constexpr double kTurnMs = 30;
constexpr double kMostRoundsATurn = 8;
constexpr std::size_t kReferenceRounds = 3;
constexpr std::chrono::milliseconds kReferenceAge{60};
/// Plans that are slower than the best by this many deviations of a round, and by this share at
/// least, need no exact time; half as much is enough after some more rounds.
constexpr int kMoreRounds = 5;
constexpr double kFarDeviations = 4;
constexpr double kLeastFar = 0.02;

/// Of what searches change.
std::size_t fingerprint_of(const Plan& plan) {
  std::size_t hash = static_cast<std::size_t>(plan.mode);
  const auto mix = [&](std::size_t value) {
    hash ^= value + 0x9E3779B97F4A7C15ULL + (hash << 6) + (hash >> 2);
  };
  const auto mix_all = [&](std::initializer_list<std::int64_t> values) {
    for (const std::int64_t value : values) mix(static_cast<std::size_t>(value));
  };
  for (const Lane& lane : plan.lanes) {
    mix(lane.steps.size());
    for (const Step& step : lane.steps) {
      mix_all({step.tenant, step.node, step.iteration, step.chunk.begin, step.chunk.end,
               step.budget.begin, step.budget.end, step.priority});
      mix(std::hash<std::string>{}(step.variant));
    }
  }
  for (const SyncPoint& sync : plan.sync_points)
    mix_all({sync.before.lane, sync.before.index, sync.after.lane, sync.after.index});
  return hash;
}

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
  for (Known& known : known_) known.is_new = true;
}

DeviceEvaluator::Known* DeviceEvaluator::find(std::size_t fingerprint, const Plan& bare) {
  const auto found = std::find_if(known_.begin(), known_.end(), [&](const Known& known) {
    return known.fingerprint == fingerprint && known.plan == bare;
  });
  return found == known_.end() ? nullptr : &*found;
}

double DeviceEvaluator::time_reference() {
  const double ms = std::max(reference_->run(), 1e-6);
  const auto now = std::chrono::steady_clock::now();
  reference_rounds_.push_back({now, ms});
  while (reference_rounds_.size() > kReferenceRounds ||
         now - reference_rounds_.front().at > kReferenceAge)
    reference_rounds_.pop_front();
  std::vector<double> times;
  for (const ReferenceRound& round : reference_rounds_) times.push_back(round.ms);
  return median(std::move(times));
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
      reference = time_reference();
      spent += reference;
    }
    const double ms = compiled.run();
    spent += ms;
    ratios.push_back(ms / reference);
    if (round + 1 == kMinRounds &&
        *std::min_element(ratios.begin(), ratios.end()) > far_from_best_ * best_ratio_)
      break;
    if (round + 1 == kMoreRounds && median(ratios) > (1 + far_from_best_) / 2 * best_ratio_) break;
  }
  const double ratio = median(ratios);
  best_ratio_ = std::min(best_ratio_, ratio);
  return reference_ms_ * ratio;
}

Result<double> DeviceEvaluator::evaluate(const Plan& plan) {
  Plan bare = bare_of(plan);
  const std::size_t fingerprint = fingerprint_of(bare);
  Known* known = find(fingerprint, bare);
  if (known != nullptr && known->is_new) {
    known->is_new = false;
    return known->ms;
  }
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
  double ms = 0;
  if (!reference_) {
    std::vector<double> times;
    for (int round = 0; round < num_rounds_; ++round) times.push_back(compiled->run());
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
    known_.push_back({fingerprint, std::move(bare), ms, false});
  else
    known->ms = ms;
  return ms;
}

}  // namespace gacer
