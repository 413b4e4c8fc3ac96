#include "cost/contention.h"

#include <functional>

#include <fmt/format.h>

#include "cost/model.h"

namespace gacer {
namespace {

/// A value up to `most` with which `model_ms`, which by and large grows with it, comes to a time
/// and not above. 0 when it makes no difference or none is needed.
double fit(double most, double measured_ms, const std::function<double(double)>& model_ms) {
  constexpr int kHalvings = 20;
  const double least_ms = model_ms(0);
  const double most_ms = model_ms(most);
  if (measured_ms <= least_ms || most_ms <= least_ms) return 0;
  if (most_ms <= measured_ms) return most;
  double low = 0;
  double high = most;
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = (low + high) / 2;
    (model_ms(middle) <= measured_ms ? low : high) = middle;
  }
  return low;
}

}  // namespace

std::string Contention::to_string() const {
  return fmt::format(
      "{:.2f} us before a launch, {:.2f} more for each step beside it, {:.0f} % slower beside a "
      "full device",
      launch_gap_ms * 1e3, crowd_gap_ms * 1e3, interference * 100);
}

Contention default_contention(bool is_width_fixed) {
  Contention contention;
  if (is_width_fixed) contention.set_change_ms = 0;
  return contention;
}

Contention fit_contention(const Problem& problem, const ProfileTable& rows, const Plan& sequential,
                          double sequential_ms, const Plan& streams, double streams_ms) {
  constexpr double kMostGapMs = 0.01;
  // Of an H200 and plans of three mixes; two times cannot tell it from interference.
  constexpr double kMostCrowdGapMs = 0.0012;
  constexpr double kMostInterference = 1;
  Contention fitted = default_contention(problem.is_width_fixed);
  const auto time = [&](const Plan& plan, double Contention::*member, double value) {
    Contention tried = fitted;
    tried.*member = value;
    const Result<Timeline> line = simulate(problem, rows, plan, tried);
    return line ? line->round_ms : 0;
  };
  const auto fit_one = [&](double Contention::*member, double most, const Plan& plan, double ms) {
    fitted.*member = fit(most, ms, [&](double value) { return time(plan, member, value); });
  };
  fit_one(&Contention::launch_gap_ms, kMostGapMs, sequential, sequential_ms);
  fit_one(&Contention::crowd_gap_ms, kMostCrowdGapMs, streams, streams_ms);
  fit_one(&Contention::interference, kMostInterference, streams, streams_ms);
  return fitted;
}

}  // namespace gacer
