#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "search/draft.h"
#include "search/search.h"

namespace gacer {

/// One search: counts evaluations and measurements against the limits, shows progress. A session
/// of a policy may be narrowed to a share of what is left.
class Session {
 public:
  Session(SearchContext& context, std::string policy);

  const Problem& problem() const { return context_.problem; }
  const ProfileTable& rows() const { return context_.rows; }
  const std::string& policy() const { return policy_; }
  std::uint64_t seed() const { return context_.seed; }
  bool has_device() const { return context_.device != nullptr; }

  /// Fits the model to a measured sequential round and one of streams, where steps share groups and
  /// two measurements leave enough to choose by; the time for the model begins then. False, and
  /// nothing has changed, where that is not so or the device refuses one.
  bool fit_model(const Plan& sequential, const Plan& streams);
  const ModelEvaluator& model() const { return context_.model; }

  /// Milliseconds by the model; empty when the plan is impossible there. Counts one evaluation, but
  /// none for a plan that was rated before: neighbours of neighbours are often the same.
  std::optional<double> evaluate(const Plan& plan);
  /// render() and evaluate(); the plan too.
  struct Rated {
    Plan plan;
    double ms = 0;
  };
  std::optional<Rated> rate(const Draft& draft);

  /// Milliseconds on the device; empty when it refuses. Counts one measurement.
  std::optional<double> measure(const Plan& plan);
  /// Whether the device finds the changed plan faster. Counts one measurement.
  bool is_faster(const Plan& changed, const Plan& known);

  /// False when evaluations, time or the user's patience have run out; where plans are measured,
  /// half of the time is kept for that. A first evaluation is always allowed, so that every policy
  /// has a plan.
  bool may_evaluate() const;
  /// `reserve` more must be left.
  bool may_measure(std::int64_t reserve = 0) const;
  std::int64_t evaluations() const { return evaluations_; }
  std::int64_t measurements() const { return measurements_; }
  double measuring_s() const { return measuring_s_; }
  std::int64_t evaluations_left() const { return limit_ - evaluations_; }

  /// Until the guard is gone, may_evaluate() also ends after `evaluations` more.
  class Share {
   public:
    Share(Session& session, std::int64_t evaluations) : session_(session), saved_(session.limit_) {
      session.limit_ = std::min(saved_, session.evaluations_ + evaluations);
    }
    ~Share() { session_.limit_ = saved_; }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

   private:
    Session& session_;
    std::int64_t saved_;
  };

 private:
  /// Whether this share of the time for model and device has passed, or the user stopped the
  /// search.
  bool is_over(double share = 1) const;
  void show(const std::string& phase, double best_ms);
  /// Asks context_.device something; counts a measurement and its time.
  template <typename Ask>
  auto ask_device(const Ask& ask);

  SearchContext& context_;
  std::string policy_;
  std::int64_t limit_;
  std::int64_t evaluations_ = 0;
  std::int64_t measurements_ = 0;
  double measuring_s_ = 0;
  std::unordered_map<std::size_t, std::optional<double>> known_ms_;  ///< by hash_steps()
  double best_model_ms_ = 0;
  double best_device_ms_ = 0;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::duration fitting_{0};  ///< time before the model could be asked
};

}  // namespace gacer
