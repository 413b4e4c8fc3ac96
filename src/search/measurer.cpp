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

/// Of plans that were not traced yet, for one calibration.
constexpr std::size_t kTraces = 3;
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

void Measurer::measure(const std::vector<Candidate>& simple,
                       const std::vector<Candidate>& regulated, std::size_t count) {
  choose_finalists(simple, regulated, count);
  for (Finalist& finalist : finalists_) {
    if (finalist.count == 0) measure(finalist);
  }
  for (Finalist& finalist : finalists_) {
    if (finalist.count == 1 && finalist.ms > 0 && finalist.ms < fastest()->ms * kClose)
      measure(finalist);
  }
}

bool Measurer::calibrate(Calibration& calibration) {
  std::vector<Finalist*> best_last;
  for (Finalist& finalist : finalists_) {
    if (finalist.ms > 0 && is_merged(finalist) && !finalist.is_traced)
      best_last.push_back(&finalist);
  }
  std::sort(best_last.begin(), best_last.end(),
            [](const Finalist* a, const Finalist* b) { return a->ms > b->ms; });
  const std::size_t skipped = best_last.size() - std::min(best_last.size(), kTraces);
  bool has_learnt = false;
  for (std::size_t i = skipped; i < best_last.size() && session_.may_measure(kReserve); ++i) {
    best_last[i]->is_traced = true;
    const Plan& plan = best_last[i]->candidate.plan;
    const std::vector<StepSpan> spans = session_.trace(plan);
    if (!spans.empty()) has_learnt = calibration.learn(plan, spans) || has_learnt;
  }
  if (has_learnt) calibration.apply();
  return has_learnt;
}

/// In turn, so that a small limit still compares both kinds.
void Measurer::choose_finalists(const std::vector<Candidate>& simple,
                                const std::vector<Candidate>& regulated, std::size_t count) {
  std::vector<const Candidate*> kinds;  // the best of each simple policy: names begin with it
  for (const Candidate& candidate : simple) {
    const std::string kind = candidate.name.substr(0, candidate.name.find(' '));
    const bool is_known = std::any_of(kinds.begin(), kinds.end(), [&](const Candidate* other) {
      return other->name.substr(0, other->name.find(' ')) == kind;
    });
    if (!is_known) kinds.push_back(&candidate);
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (i < kinds.size()) add(*kinds[i]);
    if (i < regulated.size()) add(regulated[i]);
  }
}

void Measurer::add(const Candidate& candidate) {
  for (const Finalist& other : finalists_) {
    if (other.candidate.plan == candidate.plan) return;
  }
  finalists_.push_back({candidate});
}

void Measurer::measure(Finalist& finalist) {
  if (!session_.may_measure()) return;
  ++finalist.count;
  const std::optional<double> ms = session_.measure(finalist.candidate.plan);
  if (ms && (finalist.ms == 0 || *ms < finalist.ms)) finalist.ms = *ms;
}

const Measurer::Finalist* Measurer::fastest(bool of_merged) const {
  const Finalist* best = nullptr;
  for (const Finalist& finalist : finalists_) {
    if (finalist.ms == 0 || (of_merged && !is_merged(finalist))) continue;
    if (best == nullptr || finalist.ms < best->ms) best = &finalist;
  }
  return best;
}

std::optional<Candidate> Measurer::best_merged() {
  const Finalist* best = fastest(/*of_merged=*/true);
  if (best == nullptr) return std::nullopt;
  return rated(best->candidate);
}

/// By the session's model as it is now.
Candidate Measurer::rated(Candidate candidate) {
  const std::optional<Session::Rated> rated = session_.rate(candidate.draft);
  if (rated) candidate.model_ms = rated->ms;
  return candidate;
}

std::optional<Candidate> Measurer::finish() {
  for (const Finalist& finalist : finalists_) {
    if (finalist.ms > 0) note(finalist.candidate.name, finalist.ms);
  }
  const Finalist* best = fastest();
  if (best == nullptr) return std::nullopt;
  return change(rated(best->candidate));
}

/// Free-running plans have nothing to change: then from the best merged one.
Candidate Measurer::change(const Candidate& winner) {
  const std::optional<Candidate> start = best_merged();
  if (!start) return winner;
  DeviceJudge judge(session_);
  Pool pool;
  Improver improver(session_, knobs_, judge, pool, *start);
  improver.run();
  if (judge.num_better() == 0 || !session_.may_measure()) return winner;
  // Each change may have been luck; what all of them gain is none.
  const bool is_faster = session_.is_faster(improver.best().plan, winner.plan);
  log_ += fmt::format("; {} changes {}", judge.num_better(), is_faster ? "faster" : "not faster");
  if (!is_faster) return winner;
  Candidate changed = improver.best();
  changed.name = start->name + ", changed";
  return changed;
}

void Measurer::note(const std::string& what, double ms) {
  log_ += fmt::format("{}{}: {:.3f} ms", log_.empty() ? "" : "; ", what, ms);
}

}  // namespace gacer
