#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace gacer {

/// What a contender took, in milliseconds. A turn is one or more of its rounds on end; the n-th
/// turns of all contenders lie side by side.
struct Times {
  std::vector<double> rounds;
  std::vector<double> turns;  ///< medians
};

struct InterleaveOptions {
  int min_rounds = 7;
  int max_turns = 1000;
  std::chrono::milliseconds time{2000};
  /// Rounds of a turn go on until they have taken so long together, one at least. Devices that a
  /// power limit slows down need turns long enough for each contender to meet the clock that it
  /// leaves itself.
  std::chrono::milliseconds turn{0};
};
/// The order of contenders in a turn. What ran before leaves its mark on caches, clocks and power,
/// so within turns each runs equally often behind each of the others (Williams's designs: once in
/// as many turns as there are contenders, twice in twice as many where their number is odd), and
/// from turn to turn never behind itself.
std::vector<std::size_t> turn_order(std::size_t contenders, int turn);

/// Contenders (each call runs a round and returns its milliseconds) take turns, so that clocks and
/// foreign load hit all alike. One warm-up turn of each is not counted. Ends after `min_rounds` of
/// each and `time` for each (their sum), at the latest after `max_turns`.
std::vector<Times> interleave(std::span<const std::function<double()>> contenders,
                              const InterleaveOptions& options);

double median(std::vector<double> values);
/// The value that `share` (0 to 1) of the values do not exceed.
double percentile(std::vector<double> values, double share);

/// Whether a regulated plan is really faster than the best simple one.
struct GuardResult {
  bool regulated_won = false;
  double simple_ms = 0;     ///< medians
  double regulated_ms = 0;  ///< medians
  double gain_ms = 0;       ///< typical difference simple - regulated of turns side by side
  double noise_ms = 0;      ///< what the gain must exceed; infinite: too few turns to tell
  int turns = 0;            ///< that were judged
  std::string to_string() const;
};

/// Judges times of turns side by side: the regulated plan wins if the lower end of the confidence
/// interval of what it gains (Hodges and Lehmann's estimate, 2.8 standard errors) is above zero and
/// the gain above half a percent of the simple plan's time. Less than 11 turns never suffice.
GuardResult judge(std::span<const double> simple, std::span<const double> regulated);

struct SettleOptions {
  std::chrono::milliseconds time{3000};
  std::chrono::milliseconds turn{0};  ///< as in InterleaveOptions
};
/// judge(), and while that leaves it open, more turns of the two: up to 15 unless the regulated
/// plan is clearly slower, then for at most `time` as long as there is a gain worth having (short
/// rounds on a restless machine need many). `simple_ms` and `regulated_ms` are the turns so far.
GuardResult settle(const std::function<double()>& simple, const std::function<double()>& regulated,
                   std::vector<double> simple_ms, std::vector<double> regulated_ms,
                   const SettleOptions& options);

struct DuelResult {
  bool changed_won = false;
  int pairs = 0;
  /// Gains of the first two pairs apart, as a share of the known plan's time; nothing after one.
  std::optional<double> jump;
};
/// Rounds of two plans in turn until it is clear whether the changed one is faster. Made for
/// searches, which ask of many plans that are not: a pair of rounds or three tell most of those.
/// The others have up to 31 pairs and 3 seconds to prove a gain of more than .1 % (the interval of
/// judge() is above it). `deviation`: of a pair's gain, as a share of the known plan's time, so far
/// as earlier duels tell (PairNoise); 0: not known. One pair that is behind by a multiple of it is
/// enough.
DuelResult duel(const std::function<double()>& known, const std::function<double()>& changed,
                double deviation = 0);

/// How much gains of pairs differ on a device: from duels, of which a few bad rounds tell nothing.
class PairNoise {
 public:
  void add(const DuelResult& duel);
  /// Standard deviation as a share of a plan's time; 0 before enough duels.
  double deviation() const;

 private:
  std::vector<double> jumps_;
};

}  // namespace gacer
