#include "engine/guard.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace gacer {

namespace {

/// A smaller share of the simple plan's time is not worth another plan.
constexpr double kWorthwhile = 0.005;
/// However long they are, so many turns are taken before a gain is given up.
constexpr int kEnoughTurns = 15;
/// Ends turns of rounds that take no time.
constexpr std::size_t kMostRoundsATurn = 100'000;
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

using Clock = std::chrono::steady_clock;

/// Rounds until they have taken as long as a turn; their median.
double take_turn(const std::function<double()>& run, std::chrono::milliseconds turn,
                 std::vector<double>* rounds = nullptr) {
  const auto limit_ms = static_cast<double>(turn.count());
  std::vector<double> times;
  double spent = 0;
  do {
    times.push_back(run());
    spent += times.back();
  } while (spent < limit_ms && times.size() < kMostRoundsATurn);
  if (rounds != nullptr) rounds->insert(rounds->end(), times.begin(), times.end());
  return median(std::move(times));
}

}  // namespace

std::vector<std::size_t> turn_order(std::size_t contenders, int turn) {
  if (contenders == 2) return {0, 1};
  std::vector<std::size_t> order;
  const std::size_t step = static_cast<std::size_t>(turn) % std::max<std::size_t>(contenders, 1);
  const bool is_reversed =
      contenders % 2 == 1 && static_cast<std::size_t>(turn) / contenders % 2 == 1;
  const std::size_t shift = is_reversed ? contenders - step : step;
  for (std::size_t i = 0; i < contenders; ++i) {
    const std::size_t zigzag = i % 2 == 1 ? (i + 1) / 2 : contenders - i / 2;  // 0, 1, -1, 2, -2…
    order.push_back((zigzag + shift) % contenders);
  }
  if (is_reversed) std::reverse(order.begin(), order.end());
  return order;
}

std::vector<Times> interleave(std::span<const std::function<double()>> contenders,
                              const InterleaveOptions& options) {
  std::vector<Times> times(contenders.size());
  for (const auto& run : contenders) take_turn(run, options.turn);
  const auto begin = Clock::now();
  const auto limit = options.time * static_cast<int>(contenders.size());
  const auto has_enough = [&](const Times& own) {
    return std::ssize(own.rounds) >= options.min_rounds;
  };
  for (int turn = 0; turn < options.max_turns; ++turn) {
    if (std::all_of(times.begin(), times.end(), has_enough) && Clock::now() - begin >= limit) break;
    for (const std::size_t k : turn_order(contenders.size(), turn))
      times[k].turns.push_back(take_turn(contenders[k], options.turn, &times[k].rounds));
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
      "{}: simple {:.3f} ms, regulated {:.3f} ms, gain {:.3f} ms, noise {}, {} turns",
      regulated_won ? "regulated won" : "simple kept", simple_ms, regulated_ms, gain_ms,
      std::isfinite(noise_ms) ? fmt::format("{:.3f} ms", noise_ms) : "unknown", turns);
}

GuardResult judge(std::span<const double> simple, std::span<const double> regulated) {
  require(simple.size() == regulated.size() && !simple.empty(),
          "{} turns of the simple plan, {} of the regulated one", simple.size(), regulated.size());
  std::vector<double> gains;
  for (std::size_t i = 0; i < simple.size(); ++i) gains.push_back(simple[i] - regulated[i]);
  GuardResult result;
  result.turns = static_cast<int>(gains.size());
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
                   const SettleOptions& options) {
  GuardResult result = judge(simple_ms, regulated_ms);
  const auto deadline = Clock::now() + options.time;
  const auto is_open = [&] {
    const double worthwhile = kWorthwhile * result.simple_ms;
    if (result.turns < kEnoughTurns) return result.gain_ms > -worthwhile;
    return result.gain_ms > worthwhile && Clock::now() < deadline;
  };
  while (!result.regulated_won && is_open()) {
    const int more = std::max(2, result.turns / 4);
    for (int turn = 0; turn < more; ++turn) {
      simple_ms.push_back(take_turn(simple, options.turn));
      regulated_ms.push_back(take_turn(regulated, options.turn));
    }
    result = judge(simple_ms, regulated_ms);
  }
  return result;
}

DuelResult duel(const std::function<double()>& known, const std::function<double()>& changed,
                double deviation) {
  constexpr double kMostMs = 3000;
  constexpr double kLeastGain = 0.001;
  constexpr double kFarBehind = 0.1;
  constexpr double kLeastFarBehind = 0.02;
  constexpr double kFarDeviations = 4;
  // Simulated on noise of .5 to 2 %: looks this close to each other tell what gains nothing after 4
  // pairs where wider ones take 6, and find as many of the others.
  constexpr std::array<int, 14> kLooks = {1, 2, 3, 4, 5, 7, 9, 11, 13, 15, 19, 23, 27, 31};
  const double far_behind =
      deviation > 0 ? std::clamp(kFarDeviations * deviation, kLeastFarBehind, kFarBehind)
                    : kFarBehind;
  std::vector<double> before;
  std::vector<double> gains;
  double spent = 0;
  DuelResult result;
  for (const int look : kLooks) {
    for (; result.pairs < look; ++result.pairs) {
      const bool is_first = result.pairs % 2 == 0;
      const double early = is_first ? known() : changed();
      const double late = is_first ? changed() : known();
      before.push_back(is_first ? early : late);
      gains.push_back(is_first ? early - late : late - early);
      spent += early + late;
    }
    const double expected = median(before);
    const Shift shift = estimate_shift(gains);
    result.changed_won = shift.lowest > kLeastGain * expected;
    const double hopeless = look == 1 ? -far_behind * expected : kLeastGain * expected;
    // Less than one standard error after this many pairs.
    const bool is_lost =
        std::isfinite(shift.lowest) && shift.estimate < (shift.estimate - shift.lowest) / kErrors;
    if (result.changed_won || shift.estimate <= hopeless || is_lost || spent > kMostMs) break;
  }
  if (gains.size() > 1)
    result.jump = std::abs(gains[1] - gains[0]) / std::max(median(before), 1e-9);
  return result;
}

void PairNoise::add(const DuelResult& duel) {
  if (duel.jump) jumps_.push_back(*duel.jump);
}

double PairNoise::deviation() const {
  constexpr std::size_t kEnoughDuels = 8;
  // Of the difference of two normal numbers with deviation 1.
  constexpr double kMedianJump = 0.954;
  return jumps_.size() < kEnoughDuels ? 0 : median(jumps_) / kMedianJump;
}

}  // namespace gacer
