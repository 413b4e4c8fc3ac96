#include "engine/guard.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace gacer {

namespace {

/// A smaller share of the simple plan's time is not worth another plan.
constexpr double kWorthwhile = 0.005;
/// However long they are, so many rounds are run before a gain is given up.
constexpr int kEnoughRounds = 15;
/// Standard errors that a gain must be away from nothing: about one false alarm in 200 tests.
constexpr double kErrors = 2.8;

/// How much the differences lie above zero.
struct Shift {
  double estimate = 0;  ///< Hodges and Lehmann's: the median of all pairs' means
  double lowest = 0;    ///< the lower end of its confidence interval; -infinity: too few to tell
};

/// After Wilcoxon's signed ranks, which a few rounds with bad luck do not impress.
Shift estimate_shift(const std::vector<double>& differences) {
  const auto n = static_cast<double>(differences.size());
  std::vector<double> means;
  for (std::size_t i = 0; i < differences.size(); ++i)
    for (std::size_t j = 0; j <= i; ++j) means.push_back((differences[i] + differences[j]) / 2);
  std::sort(means.begin(), means.end());
  const double rank = n * (n + 1) / 4 - kErrors * std::sqrt(n * (n + 1) * (2 * n + 1) / 24);
  Shift shift;
  shift.estimate = median(means);
  shift.lowest = rank < 1 ? -std::numeric_limits<double>::infinity()
                          : means[static_cast<std::size_t>(rank) - 1];
  return shift;
}

}  // namespace

std::vector<std::vector<double>> interleave(std::span<const std::function<double()>> contenders,
                                            const InterleaveOptions& options) {
  std::vector<std::vector<double>> times(contenders.size());
  for (const auto& run : contenders) run();
  const auto begin = std::chrono::steady_clock::now();
  const auto limit = options.time * static_cast<int>(contenders.size());
  for (int round = 0; round < options.max_rounds; ++round) {
    if (round >= options.min_rounds && std::chrono::steady_clock::now() - begin >= limit) break;
    // Alternate the order: what ran before leaves its mark on caches and clocks.
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      const std::size_t k = round % 2 == 0 ? i : contenders.size() - 1 - i;
      times[k].push_back(contenders[k]());
    }
  }
  return times;
}

double percentile(std::vector<double> values, double share) {
  require(!values.empty(), "percentile of nothing");
  const auto index = static_cast<std::size_t>(
      std::ceil(share * static_cast<double>(values.size())) - (share > 0 ? 1 : 0));
  const auto place =
      values.begin() + static_cast<std::ptrdiff_t>(std::min(index, values.size() - 1));
  std::nth_element(values.begin(), place, values.end());
  return *place;
}

double median(std::vector<double> values) {
  require(!values.empty(), "median of nothing");
  const std::size_t middle = values.size() / 2;
  std::sort(values.begin(), values.end());
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::string GuardResult::to_string() const {
  return fmt::format(
      "{}: simple {:.3f} ms, regulated {:.3f} ms, gain {:.3f} ms, noise {:.3f} ms, {} rounds",
      regulated_won ? "regulated won" : "simple kept", simple_ms, regulated_ms, gain_ms, noise_ms,
      rounds);
}

GuardResult judge(std::span<const double> simple, std::span<const double> regulated) {
  require(simple.size() == regulated.size() && !simple.empty(),
          "{} rounds of the simple plan, {} of the regulated one", simple.size(), regulated.size());
  std::vector<double> gains;
  for (std::size_t i = 0; i < simple.size(); ++i) gains.push_back(simple[i] - regulated[i]);
  GuardResult result;
  result.rounds = static_cast<int>(gains.size());
  result.simple_ms = median({simple.begin(), simple.end()});
  result.regulated_ms = median({regulated.begin(), regulated.end()});
  const Shift shift = estimate_shift(gains);
  result.gain_ms = shift.estimate;
  result.noise_ms = std::max(shift.estimate - shift.lowest, kWorthwhile * result.simple_ms);
  result.regulated_won = result.gain_ms > result.noise_ms;
  return result;
}

GuardResult settle(const std::function<double()>& simple, const std::function<double()>& regulated,
                   std::vector<double> simple_ms, std::vector<double> regulated_ms,
                   std::chrono::milliseconds time) {
  GuardResult result = judge(simple_ms, regulated_ms);
  const auto deadline = std::chrono::steady_clock::now() + time;
  while (!result.regulated_won && result.gain_ms > kWorthwhile * result.simple_ms &&
         (result.rounds < kEnoughRounds || std::chrono::steady_clock::now() < deadline)) {
    const int more = std::max(2, result.rounds / 4);
    for (int round = 0; round < more; ++round) {
      if (round % 2 == 0) simple_ms.push_back(simple());
      regulated_ms.push_back(regulated());
      if (round % 2 == 1) simple_ms.push_back(simple());
    }
    result = judge(simple_ms, regulated_ms);
  }
  return result;
}

}  // namespace gacer
