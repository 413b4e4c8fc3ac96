#include "search/measurer.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "plan/hash.h"
#include "search/improve.h"

namespace gacer {
namespace {

constexpr std::size_t kFinalists = 8;
/// Finalists as close to the best as this are measured twice.
constexpr double kClose = 1.1;
/// A measurement kept for the comparison at the end.
constexpr std::int64_t kReserve = 1;

/// By rounds beside the best. What lost once is not measured again.
class DeviceJudge final : public Judge {
 public:
  explicit DeviceJudge(Session& session) : session_(session) {}

  bool may_judge() const override { return session_.may_measure(kReserve); }

  double too_slow_ms(const Candidate& best) const override { return best.model_ms * kModelDoubts; }

  bool is_better(const Session::Rated& changed, const Candidate& best) override {
    if (!judged_.insert(hash_steps(changed.plan)).second) return false;
    if (!session_.is_faster(changed.plan, best.plan)) return false;
    ++num_better_;
    return true;
  }

  int num_better() const { return num_better_; }

 private:
  /// The model is wrong by some percent; what it finds much worse is.
  static constexpr double kModelDoubts = 1.03;

  Session& session_;
  std::set<std::size_t> judged_;
  int num_better_ = 0;
};

}  // namespace

Candidate Measurer::run(const std::vector<Candidate>& simple,
                        const std::vector<Candidate>& regulated) {
  choose_finalists(simple, regulated);
  for (Finalist& finalist : finalists_) measure(finalist);
  for (Finalist& finalist : finalists_) {
    if (finalist.ms > 0 && finalist.ms < fastest()->ms * kClose) measure(finalist);
  }
  for (const Finalist& finalist : finalists_) {
    if (finalist.ms > 0) note(finalist.candidate.name, finalist.ms);
  }
  const Finalist* winner = fastest();
  return winner != nullptr ? change(winner->candidate) : regulated.front();
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

const Measurer::Finalist* Measurer::fastest(bool of_merged) const {
  const Finalist* best = nullptr;
  for (const Finalist& finalist : finalists_) {
    const bool is_merged = finalist.candidate.draft.mode == LaunchMode::kMerged;
    if (finalist.ms == 0 || (of_merged && !is_merged)) continue;
    if (best == nullptr || finalist.ms < best->ms) best = &finalist;
  }
  return best;
}

/// Free-running plans have nothing to change: then from the best merged one.
Candidate Measurer::change(const Candidate& winner) {
  const Finalist* start = fastest(/*of_merged=*/true);
  if (start == nullptr) return winner;
  DeviceJudge judge(session_);
  Pool pool;
  Improver improver(session_, knobs_, judge, pool, start->candidate);
  improver.run();
  if (judge.num_better() == 0 || !session_.may_measure()) return winner;
  // Each change may have been luck; what all of them gain is none.
  const bool is_faster = session_.is_faster(improver.best().plan, winner.plan);
  log_ += fmt::format("; {} changes {}", judge.num_better(), is_faster ? "faster" : "not faster");
  if (!is_faster) return winner;
  Candidate changed = improver.best();
  changed.name = start->candidate.name + ", changed";
  return changed;
}

void Measurer::note(const std::string& what, double ms) {
  log_ += fmt::format("{}{}: {:.3f} ms", log_.empty() ? "" : "; ", what, ms);
}

}  // namespace gacer
