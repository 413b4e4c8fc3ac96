#include "search/regulate.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "search/blend_search.h"
#include "search/gang_search.h"
#include "search/improve.h"
#include "search/measurer.h"

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

/// The best simple plan that is one merged program, or whatever there is.
Candidate start_of(const Pool& pool, const std::vector<Candidate>& simple) {
  for (const Candidate& candidate : simple) {
    if (candidate.draft.mode == LaunchMode::kMerged) return candidate;
  }
  return pool.best();
}

/// By plans that run all the same steps, one after the other and side by side.
bool fit_model(Session& session) {
  const auto plan_of = [&](const NamedDraft& named) {
    return render(session.problem(), named.draft, session.policy(), session.seed());
  };
  const Result<Plan> sequential = plan_of(make_sequential_draft(session.problem(), session.rows()));
  const Result<Plan> streams =
      plan_of(make_streams_drafts(session.problem(), session.rows()).front());
  return sequential && streams && session.fit_model(*sequential, *streams);
}

/// What the model finds best: simple plans, best first, and regulated ones by family.
struct Found {
  std::vector<Candidate> simple;
  Pool pool;
};

Found search_on_model(Session& session, const Knobs& knobs) {
  Found found;
  std::vector<Candidate>& simple = found.simple;
  Pool& pool = found.pool;
  {
    const Session::Share share(session, std::max<std::int64_t>(4, session.evaluations_left() / 4));
    simple = rate_simple(session);
  }
  // What is regulated is one merged program.
  for (const Candidate& candidate : simple) {
    if (candidate.draft.mode == LaunchMode::kMerged) {
      pool.add(candidate);
      if (pool.best_first().size() == 3) break;
    }
  }
  if (pool.empty()) pool.add(simple.front());
  if (session.problem().is_width_fixed && knobs.budgets) {
    const Session::Share share(session, session.evaluations_left() * 7 / 10);
    search_gangs(session, knobs, pool);
  }
  if (!session.problem().is_width_fixed && knobs.variants) {
    const Session::Share share(session, session.evaluations_left() / 4);
    search_blends(session, knobs, pool);
  }
  // Descents end in different places: one from the best construct, one from the best simple plan,
  // then on from the better.
  const Candidate starts[] = {pool.best(), start_of(pool, simple)};
  ModelJudge judge(session);
  for (const Candidate& start : starts) {
    const Session::Share share(session, session.evaluations_left() * 2 / 5);
    if (start.draft.mode == LaunchMode::kMerged) Improver(session, knobs, judge, pool, start).run();
  }
  if (pool.best().draft.mode == LaunchMode::kMerged)
    Improver(session, knobs, judge, pool, pool.best()).run();
  return found;
}

}  // namespace

Plan regulate(SearchContext& context, std::string_view policy, const Knobs& knobs) {
  Session session(context, std::string(policy));
  const bool is_fitted = session.has_device() && fit_model(session);
  const Found found = search_on_model(session, knobs);
  const Candidate& simple = found.simple.front();
  Candidate winner = found.pool.best();
  std::string measured;
  if (session.has_device()) {
    Measurer measurer(session, knobs);
    winner = measurer.run(found.simple, found.pool.best_first());
    measured = measurer.log();
  } else if (simple.model_ms < winner.model_ms) {
    winner = simple;
  }

  Plan plan = winner.plan;
  plan.notes["chosen"] = winner.name;
  plan.notes["predicted_ms"] = fmt::format("{:.4f}", winner.model_ms);
  plan.notes["best_simple"] = fmt::format("{}: {:.4f} ms predicted", simple.name, simple.model_ms);
  if (!measured.empty()) plan.notes["measured"] = measured;
  if (is_fitted) plan.notes["contention"] = session.model().contention().to_string();
  if (winner.draft.mode == LaunchMode::kMerged) note_knobs(session, winner, knobs, plan);
  plan.notes["search"] =
      fmt::format("{} evaluations, {} measurements in {:.3f} s", session.evaluations(),
                  session.measurements(), session.measuring_s());
  return plan;
}

}  // namespace gacer
