#include "report/summary.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include <fmt/format.h>

namespace gacer {
namespace {

std::string list_tenants(const Comparison& comparison) {
  std::string text;
  for (std::size_t i = 0; i < comparison.tenants.size(); ++i) {
    if (i > 0) text += i + 1 == comparison.tenants.size() ? " and " : ", ";
    text += comparison.tenants[i].name;
  }
  return text.empty() ? "no tenants" : text;
}

std::string compare_to(const Comparison& comparison, const PolicyResult& best,
                       const std::string& reference, std::string_view words) {
  if (reference.empty() || reference == best.policy) return {};
  const auto factor = speedup(comparison, best.policy, reference);
  if (!factor) return {};
  return fmt::format("{:.2f}x the speed of {} ({} ms)", *factor, words,
                     format_ms(find_result(comparison, reference)->median_ms));
}

/// How far the best regulated plan was from winning; empty when none was judged.
std::string describe_guard(const Comparison& comparison) {
  if (!comparison.guard_gain_ms) return "";
  const std::string needed =
      comparison.guard_noise_ms
          ? fmt::format(" of the {} ms that count", format_ms(*comparison.guard_noise_ms))
          : std::string();
  const double gain = *comparison.guard_gain_ms;
  constexpr double kNanosecond = 1e-6;
  if (std::abs(gain) < kNanosecond) return " (the best took as long)";
  if (gain < 0) return fmt::format(" (the best lost {} ms)", format_ms(-gain));
  return fmt::format(" (the best gained {} ms{})", format_ms(gain), needed);
}

}  // namespace

const PolicyResult* find_result(const Comparison& comparison, std::string_view policy) {
  const auto found = std::ranges::find(comparison.policies, policy, &PolicyResult::policy);
  return found == comparison.policies.end() ? nullptr : &*found;
}

const PolicyResult* chosen_result(const Comparison& comparison) {
  if (const PolicyResult* chosen = find_result(comparison, comparison.chosen)) return chosen;
  const PolicyResult* best = nullptr;
  for (const PolicyResult& result : comparison.policies) {
    if (result.rounds == 0 || (result.is_checked && !result.outputs_match)) continue;
    if (best == nullptr || result.median_ms < best->median_ms) best = &result;
  }
  return best;
}

std::optional<double> speedup(const Comparison& comparison, std::string_view policy,
                              std::string_view reference) {
  const PolicyResult* mine = find_result(comparison, policy);
  const PolicyResult* other = find_result(comparison, reference);
  if (mine == nullptr || other == nullptr || mine->median_ms <= 0 || other->median_ms <= 0)
    return std::nullopt;
  return other->median_ms / mine->median_ms;
}

std::string summary_sentence(const Comparison& comparison) {
  const PolicyResult* best = chosen_result(comparison);
  if (best == nullptr) return "No policy was measured.";
  std::string text =
      fmt::format("One round of {} takes {} ms{} with the {} plan", list_tenants(comparison),
                  format_ms(best->median_ms),
                  comparison.device.kind == "sim" ? " on the simulated device" : "", best->policy);
  const std::string sequential =
      compare_to(comparison, *best, "sequential", "running one after the other");
  const std::string& simple = comparison.best_simple;
  const std::string best_simple =
      simple == "sequential" ? std::string()
                             : compare_to(comparison, *best, simple,
                                          fmt::format("the best simple policy, {}", simple));
  if (!sequential.empty()) text += ": " + sequential;
  if (!best_simple.empty()) text += (sequential.empty() ? ": " : " and ") + best_simple;
  text += ".";
  if (!simple.empty() && !comparison.regulated_won && best->policy == simple &&
      comparison.policies.size() > 1)
    text += fmt::format(" No regulated plan won beyond the noise{}, so the simple one is used.",
                        describe_guard(comparison));
  return text;
}

std::string format_ms(double ms) {
  if (!(ms > 0)) return "-";
  if (ms >= 100) return fmt::format("{:.1f}", ms);
  return ms >= 0.1 ? fmt::format("{:.2f}", ms) : fmt::format("{:.2g}", ms);
}

std::string format_bytes(std::int64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  if (bytes < 1000 * 1000) return fmt::format("{:.0f} KB", static_cast<double>(bytes) / 1e3);
  if (bytes < 1000LL * 1000 * 1000)
    return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
  return fmt::format("{:.2f} GB", static_cast<double>(bytes) / 1e9);
}

}  // namespace gacer
