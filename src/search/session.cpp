#include "search/session.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "plan/hash.h"

namespace gacer {

Session::Session(SearchContext& context, std::string policy)
    : context_(context),
      policy_(std::move(policy)),
      limit_(std::max<std::int64_t>(1, context.limits.evaluations)) {}

bool Session::fit_model(const Plan& sequential, const Plan& streams) {
  // A simple and a regulated plan at least are measured after it.
  constexpr std::int64_t kReserve = 3;
  if (problem().is_width_fixed || !may_measure(kReserve)) return false;
  const std::optional<double> sequential_ms = measure(sequential);
  const std::optional<double> streams_ms = measure(streams);
  fitting_ = std::chrono::steady_clock::now() - begin_;
  if (!sequential_ms || !streams_ms) return false;
  context_.model.set_contention(
      fit_contention(problem(), rows(), sequential, *sequential_ms, streams, *streams_ms));
  known_ms_.clear();
  best_model_ms_ = 0;
  return true;
}

std::optional<double> Session::evaluate(const Plan& plan) {
  const std::size_t hash = hash_steps(plan);
  if (const auto known = known_ms_.find(hash); known != known_ms_.end()) return known->second;
  ++evaluations_;
  const Result<double> ms = context_.model.evaluate(plan);
  known_ms_[hash] = ms ? std::optional<double>(*ms) : std::nullopt;
  if (!ms) return std::nullopt;
  if (best_model_ms_ == 0 || *ms < best_model_ms_) best_model_ms_ = *ms;
  if (evaluations_ % 64 == 0) show("search", best_model_ms_);
  return *ms;
}

std::optional<Session::Rated> Session::rate(const Draft& draft) {
  Result<Plan> plan = render(problem(), draft, policy_, seed());
  if (!plan) {
    ++evaluations_;  // a rejected candidate is work too: searches must end
    return std::nullopt;
  }
  try {
    const std::optional<double> ms = evaluate(*plan);
    if (!ms) return std::nullopt;
    return Rated{*std::move(plan), *ms};
  } catch (const Error& e) {
    // Sync points drawn by a search may close a cycle.
    if (e.kind() != ErrorKind::kPlan) throw;
    return std::nullopt;
  }
}

template <typename Ask>
auto Session::ask_device(const Ask& ask) {
  ++measurements_;
  const AddsSeconds adds(measuring_s_);
  return ask(*context_.device);
}

std::optional<double> Session::measure(const Plan& plan) {
  const Result<double> ms = ask_device([&](Evaluator& device) { return device.evaluate(plan); });
  if (!ms) return std::nullopt;
  if (best_device_ms_ == 0 || *ms < best_device_ms_) best_device_ms_ = *ms;
  show("measure", best_device_ms_);
  return *ms;
}

bool Session::is_faster(const Plan& changed, const Plan& known) {
  const Result<bool> faster =
      ask_device([&](Evaluator& device) { return device.is_faster(changed, known); });
  show("measure", best_device_ms_);
  return faster && *faster;
}

bool Session::is_over(double share) const {
  if (context_.is_cancelled && context_.is_cancelled->load()) return true;
  return context_.limits.time.count() > 0 &&
         std::chrono::steady_clock::now() - begin_ >=
             fitting_ + (context_.limits.time - fitting_) * share;
}

bool Session::may_evaluate() const {
  constexpr double kShareOfTime = 0.5;
  return evaluations_ < limit_ && !is_over(has_device() ? kShareOfTime : 1);
}

bool Session::may_measure(std::int64_t reserve) const {
  return has_device() && measurements_ + reserve < context_.limits.measurements && !is_over();
}

void Session::show(const std::string& phase, double best_ms) {
  if (!context_.on_progress) return;
  const bool measures = phase == "measure";
  context_.on_progress({phase + " " + policy_, measures ? measurements_ : evaluations_,
                        measures ? context_.limits.measurements : context_.limits.evaluations,
                        best_ms});
}

}  // namespace gacer
