#include "search/blend_search.h"

#include <utility>

#include <fmt/format.h>

#include "search/moves.h"

namespace gacer {
namespace {

constexpr double kBlends[] = {0.3, 0.2, 0.4, 0.1, 0.5, 0.0, 0.7, 0.85};

void rate(Session& session, const Draft& draft, std::string name, Pool& pool) {
  if (!session.may_evaluate()) return;
  std::optional<Session::Rated> rated = session.rate(draft);
  if (rated) pool.add({std::move(name), draft, std::move(rated->plan), rated->ms});
}

}  // namespace

void search_blends(Session& session, const Knobs& knobs, Pool& pool) {
  const Problem& problem = session.problem();
  const Draft streams = make_streams_drafts(problem, session.rows()).front().draft;
  Moves moves(problem, session.rows());
  const int tenants = static_cast<int>(problem.tenants.size());
  for (double blend : kBlends) {
    Draft all = streams;
    for (int t = 0; t < tenants; ++t) moves.blend_variants({t, 0, moves.num_nodes(t)}, blend, all);
    rate(session, all, fmt::format("blend {}", blend), pool);
    for (int t = 0; tenants > 1 && t < tenants; ++t) {
      Draft one = all;
      const NodeRun run{t, 0, moves.num_nodes(t)};
      moves.blend_variants(run, /*blend=*/1, one);
      if (knobs.priorities) moves.set_priority(run, 1, one);
      rate(session, one,
           fmt::format("blend {} around {}", blend, problem.tenants[std::size_t(t)].identity.name),
           pool);
    }
  }
}

}  // namespace gacer
