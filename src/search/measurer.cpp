#include "search/measurer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "search/improve.h"

namespace gacer {
namespace {

constexpr std::size_t kFinalists = 8;
/// Finalists as close to the best as this are measured twice.
constexpr double kClose = 1.1;
/// Measurements kept for the comparison at the end and one that began before.
constexpr std::int64_t kReserve = 3;

/// By measured time. One measurement may be lucky: what seems faster is measured once more, and the
/// best now and then.
class DeviceJudge final : public Judge {
 public:
  DeviceJudge(Session& session, double best_ms) : session_(session), best_ms_(best_ms) {}

  bool may_judge() const override { return session_.may_measure(kReserve); }

  bool is_better(const Session::Rated& changed, const Candidate& best) override {
    if (changed.ms > best.model_ms * kModelDoubts) return false;
    if (++num_judged_ % kRefresh == 0)
      if (const std::optional<double> again = session_.measure(best.plan))
        best_ms_ = (best_ms_ + *again) / 2;
    const std::optional<double> first = session_.measure(changed.plan);
    if (!first || *first > best_ms_ * kFirstGain || !may_judge()) return false;
    const std::optional<double> second = session_.measure(changed.plan);
    if (!second || (*first + *second) / 2 > best_ms_ * kMeanGain) return false;
    best_ms_ = (*first + *second) / 2;
    ++num_better_;
    return true;
  }

  double best_ms() const { return best_ms_; }
  int num_better() const { return num_better_; }

 private:
  /// The model is wrong by some percent; what it finds much worse is.
  static constexpr double kModelDoubts = 1.03;
  static constexpr double kFirstGain = 0.998;
  static constexpr double kMeanGain = 0.997;
  static constexpr int kRefresh = 24;

  Session& session_;
  double best_ms_;
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
  const std::optional<double> again = session_.measure(winner.candidate.plan);
  DeviceJudge judge(session_, again ? (winner.ms + *again) / 2 : winner.ms);
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
