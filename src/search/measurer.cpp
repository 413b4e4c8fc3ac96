#include "search/measurer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "search/improve.h"

namespace gacer {
namespace {

constexpr std::size_t kFinalists = 8;
/// Finalists as close to the best as this are measured twice.
constexpr double kClose = 1.1;
/// Measurements kept for the comparison at the end and one that began before.
constexpr std::int64_t kReserve = 3;

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// By measured time. What seems faster is measured until the gain stands out of the noise, which
/// the repeats tell, or is none.
class DeviceJudge final : public Judge {
 public:
  explicit DeviceJudge(Session& session) : session_(session) {}

  bool may_judge() const override { return session_.may_measure(kReserve); }

  bool is_better(const Session::Rated& changed, const Candidate& best) override {
    if (changed.ms > best.model_ms * kModelDoubts) return false;
    if (!know(best.plan)) return false;
    std::vector<double> times;
    while (may_judge() && times.size() < kMostRepeats) {
      const std::optional<double> ms = session_.measure(changed.plan);
      if (!ms) return false;
      add(*ms, times);
      const double expected = mean(best_times_);
      const double gain = expected - mean(times);
      if (gain < kLeastGain * expected) return false;
      const double error = expected * noise() *
                           std::sqrt(1 / static_cast<double>(times.size()) +
                                     1 / static_cast<double>(best_times_.size()));
      if (times.size() < 2 || gain < kErrors * error) continue;
      best_times_ = std::move(times);
      ++num_better_;
      return true;
    }
    return false;
  }

  double best_ms() const { return mean(best_times_); }
  int num_better() const { return num_better_; }

 private:
  /// The model is wrong by some percent; what it finds much worse is.
  static constexpr double kModelDoubts = 1.03;
  static constexpr double kLeastGain = 0.001;
  /// Standard errors of the difference.
  static constexpr double kErrors = 2.5;
  static constexpr std::size_t kMostRepeats = 6;
  static constexpr double kLeastNoise = 0.001;
  /// The best is measured once more in so many judgements, up to kMostKnown times.
  static constexpr int kRefresh = 8;
  static constexpr std::size_t kKnown = 4;
  static constexpr std::size_t kMostKnown = 12;

  /// Whether the best was measured often enough.
  bool know(const Plan& best) {
    const bool is_due = ++num_judged_ % kRefresh == 0 && best_times_.size() < kMostKnown;
    for (bool more = is_due; more || best_times_.size() < kKnown; more = false) {
      const std::optional<double> ms = may_judge() ? session_.measure(best) : std::nullopt;
      if (!ms) return false;
      add(*ms, best_times_);
    }
    return true;
  }

  /// One more time of a plan; what it tells of the noise is kept (Welford).
  void add(double ms, std::vector<double>& times) {
    if (!times.empty()) {
      const double before = mean(times);
      const auto count = static_cast<double>(times.size());
      const double difference = ms / before - 1;
      squares_ += difference * difference * count / (count + 1);
      ++num_repeats_;
    }
    times.push_back(ms);
  }

  /// Relative standard deviation of one measurement.
  double noise() const {
    return num_repeats_ == 0 ? 1 : std::max(kLeastNoise, std::sqrt(squares_ / num_repeats_));
  }

  Session& session_;
  std::vector<double> best_times_;
  double squares_ = 0;
  int num_repeats_ = 0;
  int num_judged_ = 0;
  int num_better_ = 0;
};

}  // namespace

Candidate Measurer::run(const std::vector<Candidate>& simple,
                        const std::vector<Candidate>& regulated) {
  choose_finalists(simple, regulated);
  for (Finalist& finalist : finalists_) measure(finalist);
  for (Finalist& finalist : finalists_) {
    if (finalist.ms > 0 && finalist.ms < best().ms * kClose) measure(finalist);
  }
  for (const Finalist& finalist : finalists_) {
    if (finalist.ms > 0) note(finalist.candidate.name, finalist.ms);
  }
  const Finalist& winner = best();
  return winner.ms > 0 ? change(winner) : regulated.front();
}

/// In turn, so that a small limit still compares both kinds.
void Measurer::choose_finalists(const std::vector<Candidate>& simple,
                                const std::vector<Candidate>& regulated) {
  std::vector<const Candidate*> kinds;  // the best of each simple policy: names begin with it
  for (const Candidate& candidate : simple) {
    const std::string kind = candidate.name.substr(0, candidate.name.find(' '));
    const bool is_known = std::any_of(kinds.begin(), kinds.end(), [&](const Candidate* other) {
      return other->name.substr(0, other->name.find(' ')) == kind;
    });
    if (!is_known) kinds.push_back(&candidate);
  }
  for (std::size_t i = 0; i < kFinalists; ++i) {
    if (i < kinds.size()) add(*kinds[i]);
    if (i < regulated.size()) add(regulated[i]);
  }
}

void Measurer::add(const Candidate& candidate) {
  for (const Finalist& other : finalists_) {
    if (other.candidate.plan == candidate.plan) return;
  }
  finalists_.push_back({candidate, 0});
}

void Measurer::measure(Finalist& finalist) {
  if (!session_.may_measure()) return;
  const std::optional<double> ms = session_.measure(finalist.candidate.plan);
  if (ms && (finalist.ms == 0 || *ms < finalist.ms)) finalist.ms = *ms;
}

const Measurer::Finalist& Measurer::best() const {
  const Finalist* best = &finalists_.front();
  for (const Finalist& finalist : finalists_) {
    if (finalist.ms > 0 && (best->ms == 0 || finalist.ms < best->ms)) best = &finalist;
  }
  return *best;
}

/// While measurements last; two are kept to compare what came of it with the winner.
Candidate Measurer::change(const Finalist& winner) {
  if (winner.candidate.draft.mode == LaunchMode::kFreeRunning || !session_.may_measure(kReserve))
    return winner.candidate;
  DeviceJudge judge(session_);
  Pool pool;
  Improver improver(session_, knobs_, judge, pool, winner.candidate);
  improver.run();
  if (judge.num_better() == 0) return winner.candidate;
  const std::optional<double> before = session_.measure(winner.candidate.plan);
  const std::optional<double> after = session_.measure(improver.best().plan);
  note(fmt::format("{} changes", judge.num_better()), judge.best_ms());
  Candidate changed = improver.best();
  changed.name = winner.candidate.name + ", changed";
  return before && after && *after < *before ? changed : winner.candidate;
}

void Measurer::note(const std::string& what, double ms) {
  log_ += fmt::format("{}{}: {:.3f} ms", log_.empty() ? "" : "; ", what, ms);
}

}  // namespace gacer
