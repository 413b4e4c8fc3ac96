#pragma once

#include <chrono>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace gacer {

/// Runs each contender in turn, round after round, so that clocks and foreign load hit all alike.
/// One warm-up round is not counted. Stops after `min_rounds` and `time` for each (their sum), at
/// most `max_rounds`. Times per contender in milliseconds, in the order of the rounds.
struct InterleaveOptions {
  int min_rounds = 7;
  int max_rounds = 1000;
  std::chrono::milliseconds time{2000};
};
std::vector<std::vector<double>> interleave(std::span<const std::function<double()>> contenders,
                                            const InterleaveOptions& options);

double median(std::vector<double> values);
/// The value that `share` (0 to 1) of the values do not exceed.
double percentile(std::vector<double> values, double share);

/// Whether a regulated plan is really faster than the best simple one.
struct GuardResult {
  bool regulated_won = false;
  double simple_ms = 0;     ///< medians
  double regulated_ms = 0;  ///< medians
  double gain_ms = 0;       ///< typical difference simple - regulated of the same round
  double noise_ms = 0;      ///< what the gain must exceed
  int rounds = 0;           ///< that were judged
  std::string to_string() const;
};

/// Judges times of the same rounds (interleaved, hence paired): the regulated plan wins if the
/// lower end of the confidence interval of what it gains (Hodges and Lehmann's estimate, 2.8
/// standard errors) is above zero and the gain above half a percent of the simple plan's time. Less
/// than 11 rounds never suffice.
GuardResult judge(std::span<const double> simple, std::span<const double> regulated);

/// judge(), and while the gain is worth having but within the noise, more rounds of the two in
/// turn, for at most `time`: short rounds on a restless machine need many. `simple_ms` and
/// `regulated_ms` are the paired times so far.
GuardResult settle(const std::function<double()>& simple, const std::function<double()>& regulated,
                   std::vector<double> simple_ms, std::vector<double> regulated_ms,
                   std::chrono::milliseconds time);

}  // namespace gacer
