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
constexpr double kMeasuredGain = 0.995;
constexpr int kMutationTries = 60;

/// Measures the best of each family and the simple plans, then changes of the winner that the model
/// does not advise against.
class Measurer {
 public:
  Measurer(Session& session, Improver& improver) : session_(session), improver_(improver) {}

  Candidate run(const std::vector<Candidate>& simple, const std::vector<Candidate>& regulated) {
    Candidate best = regulated.front();
    double best_ms = 0;
    const auto consider = [&](const Candidate& candidate) {
      if (!session_.may_measure()) return;
      const std::optional<double> ms = session_.measure(candidate.plan);
      if (!ms) return;
      log_ += fmt::format("{}{}: {:.3f} ms", log_.empty() ? "" : "; ", candidate.name, *ms);
      if (best_ms == 0 || *ms < best_ms * (best_ms == 0 ? 1 : kMeasuredGain)) {
        best = candidate;
        best_ms = *ms;
      }
    };
    // In turn, so that a small limit still compares both kinds.
    for (std::size_t i = 0; i < kFinalists; ++i) {
      if (i < simple.size() && i < 3) consider(simple[i]);
      if (i < regulated.size()) consider(regulated[i]);
    }
    int changes = 0;
    for (int tries = 0; session_.may_measure() && tries < kMutationTries; ++tries) {
      Draft draft = best.draft;
      if (draft.mode == LaunchMode::kFreeRunning || !improver_.mutate(draft)) continue;
      std::optional<Session::Rated> rated = session_.rate(draft);
      if (!rated || rated->ms > best.model_ms * 1.01) continue;
      const std::optional<double> ms = session_.measure(rated->plan);
      if (!ms || *ms >= best_ms * kMeasuredGain) continue;
      best = {best.name, std::move(draft), std::move(rated->plan), rated->ms};
      best_ms = *ms;
      ++changes;
    }
    if (changes > 0) log_ += fmt::format("; {} measured changes: {:.3f} ms", changes, best_ms);
    return best;
  }

  const std::string& log() const { return log_; }

 private:
  static constexpr std::size_t kFinalists = 8;

  Session& session_;
  Improver& improver_;
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
      fmt::format("{} evaluations, {} measurements", session.evaluations(), session.measurements());
  return plan;
}

}  // namespace gacer
