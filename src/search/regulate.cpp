#include "search/regulate.h"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "search/blend_search.h"
#include "search/gang_search.h"
#include "search/improve.h"

namespace gacer {
namespace {

/// The draft without what one knob did, for the account of what it bought.
Draft without(const Session& session, const Draft& draft, const std::string& knob) {
  const Problem& problem = session.problem();
  const int groups = problem.device.num_groups;
  Draft made = draft;
  Moves moves(problem, session.rows());
  for (int t = 0; t < static_cast<int>(problem.tenants.size()); ++t) {
    const NodeRun all{t, 0, moves.num_nodes(t)};
    if (knob == "chunks") moves.set_chunks(all, 1, /*side_by_side=*/false, made);
    if (knob == "variants") moves.blend_variants(all, /*blend=*/1, made);
    if (knob == "budgets") moves.set_budget(all, {0, groups}, made);
    if (knob == "priorities") moves.set_priority(all, 0, made);
  }
  if (knob == "syncs") made.syncs.clear();
  return made;
}

void note_knobs(Session& session, const Candidate& winner, const Knobs& knobs, Plan& plan) {
  const std::pair<const char*, bool> list[] = {{"chunks", knobs.chunks},
                                               {"variants", knobs.variants},
                                               {"budgets", knobs.budgets},
                                               {"priorities", knobs.priorities},
                                               {"syncs", knobs.syncs}};
  std::string text;
  for (const auto& [knob, is_on] : list) {
    if (!is_on) continue;
    const auto rated = session.rate(without(session, winner.draft, knob));
    text += text.empty() ? "" : ", ";
    text += rated ? fmt::format("{} {:+.4f} ms", knob, rated->ms - winner.model_ms)
                  : fmt::format("{} needed", knob);
  }
  if (!text.empty()) plan.notes["knobs"] = text + " (what the round would take more without it)";
}

/// A change must be this much faster when measured, to be believed.
constexpr double kMeasuredGain = 0.99;
constexpr int kMutationTries = 2000;

/// Measures the best of each family and of each simple policy, the close ones twice, then changes
/// of the winner that the model does not advise against. A measurement may be lucky, so what won by
/// many tries must win once more.
class Measurer {
 public:
  Measurer(Session& session, Improver& improver) : session_(session), improver_(improver) {}

  Candidate run(const std::vector<Candidate>& simple, const std::vector<Candidate>& regulated) {
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

  const std::string& log() const { return log_; }

 private:
  static constexpr std::size_t kFinalists = 8;
  static constexpr double kClose = 1.1;

  struct Finalist {
    Candidate candidate;
    double ms = 0;  ///< smallest measured; 0: none yet
  };

  /// In turn, so that a small limit still compares both kinds.
  void choose_finalists(const std::vector<Candidate>& simple,
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

  void add(const Candidate& candidate) {
    for (const Finalist& other : finalists_) {
      if (other.candidate.plan == candidate.plan) return;
    }
    finalists_.push_back({candidate, 0});
  }

  void measure(Finalist& finalist) {
    if (!session_.may_measure()) return;
    const std::optional<double> ms = session_.measure(finalist.candidate.plan);
    if (ms && (finalist.ms == 0 || *ms < finalist.ms)) finalist.ms = *ms;
  }

  const Finalist& best() const {
    const Finalist* best = &finalists_.front();
    for (const Finalist& finalist : finalists_) {
      if (finalist.ms > 0 && (best->ms == 0 || finalist.ms < best->ms)) best = &finalist;
    }
    return *best;
  }

  /// Random changes of the winner while measurements last; two are kept for the last comparison.
  Candidate change(const Finalist& winner) {
    Finalist changed = winner;
    int changes = 0;
    for (int tries = 0; session_.may_measure(/*reserve=*/2) && tries < kMutationTries; ++tries) {
      Draft draft = changed.candidate.draft;
      if (draft.mode == LaunchMode::kFreeRunning || !improver_.mutate(draft)) continue;
      std::optional<Session::Rated> rated = session_.rate(draft);
      if (!rated || rated->ms > changed.candidate.model_ms * 1.01) continue;
      const std::optional<double> ms = session_.measure(rated->plan);
      if (!ms || *ms >= changed.ms * kMeasuredGain) continue;
      changed.candidate = {winner.candidate.name + ", changed", std::move(draft),
                           std::move(rated->plan), rated->ms};
      changed.ms = *ms;
      ++changes;
    }
    if (changes == 0) return winner.candidate;
    const std::optional<double> before = session_.measure(winner.candidate.plan);
    const std::optional<double> after = session_.measure(changed.candidate.plan);
    note(fmt::format("{} changes", changes), changed.ms);
    return before && after && *after < *before ? changed.candidate : winner.candidate;
  }

  void note(const std::string& what, double ms) {
    log_ += fmt::format("{}{}: {:.3f} ms", log_.empty() ? "" : "; ", what, ms);
  }

  Session& session_;
  Improver& improver_;
  std::vector<Finalist> finalists_;
  std::string log_;
};

/// The best simple plan that is one merged program, or whatever there is.
Candidate start_of(const Pool& pool, const std::vector<Candidate>& simple) {
  for (const Candidate& candidate : simple) {
    if (candidate.draft.mode == LaunchMode::kMerged) return candidate;
  }
  return pool.best();
}

}  // namespace

Plan regulate(SearchContext& context, std::string_view policy, const Knobs& knobs) {
  Session session(context, std::string(policy));
  std::vector<Candidate> simple;
  {
    const Session::Share share(session, std::max<std::int64_t>(4, session.evaluations_left() / 4));
    simple = rate_simple(session);
  }
  Pool pool;
  // What is regulated is one merged program.
  for (const Candidate& candidate : simple) {
    if (candidate.draft.mode == LaunchMode::kMerged) {
      pool.add(candidate);
      if (pool.best_first().size() == 3) break;
    }
  }
  if (pool.empty()) pool.add(simple.front());
  if (context.problem.is_width_fixed && knobs.budgets) {
    const Session::Share share(session, session.evaluations_left() * 7 / 10);
    search_gangs(session, knobs, pool);
  }
  if (!context.problem.is_width_fixed && knobs.variants) {
    const Session::Share share(session, session.evaluations_left() / 4);
    search_blends(session, knobs, pool);
  }
  // Descents end in different places: one from the best construct, one from the best simple plan,
  // then on from the better.
  const Candidate starts[] = {pool.best(), start_of(pool, simple)};
  for (const Candidate& start : starts) {
    const Session::Share share(session, session.evaluations_left() * 2 / 5);
    if (start.draft.mode == LaunchMode::kMerged) Improver(session, knobs, pool, start).run();
  }
  Improver improver(session, knobs, pool, pool.best());
  if (improver.best().draft.mode == LaunchMode::kMerged) improver.run();

  std::vector<Candidate> regulated = pool.best_first();
  Candidate winner = regulated.front();
  std::string measured;
  if (session.has_device()) {
    Measurer measurer(session, improver);
    winner = measurer.run(simple, regulated);
    measured = measurer.log();
  } else if (simple.front().model_ms < winner.model_ms) {
    winner = simple.front();
  }

  Plan plan = winner.plan;
  plan.notes["chosen"] = winner.name;
  plan.notes["predicted_ms"] = fmt::format("{:.4f}", winner.model_ms);
  plan.notes["best_simple"] =
      fmt::format("{}: {:.4f} ms predicted", simple.front().name, simple.front().model_ms);
  if (!measured.empty()) plan.notes["measured"] = measured;
  if (winner.draft.mode == LaunchMode::kMerged) note_knobs(session, winner, knobs, plan);
  plan.notes["search"] =
      fmt::format("{} evaluations, {} measurements in {:.3f} s", session.evaluations(),
                  session.measurements(), session.measuring_s());
  return plan;
}

}  // namespace gacer
