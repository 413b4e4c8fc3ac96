#include "search/improve.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace gacer {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

constexpr double kBlends[] = {0.3, 0.2, 0.4, 0.1, 0.0, 0.6, 0.8, 1.0};
constexpr int kPatience = 400;  // random moves without success before it ends

}  // namespace

Improver::Improver(Session& session, const Knobs& knobs, Judge& judge, Pool& pool, Candidate start)
    : session_(session),
      knobs_(knobs),
      judge_(judge),
      pool_(pool),
      best_(std::move(start)),
      moves_(session.problem(), session.rows()),
      random_(session.seed() * 0x9E3779B97F4A7C15ULL + 2) {
  if (!best_.name.starts_with("improved")) best_.name = "improved from " + best_.name;
}

bool Improver::attempt(const Change& change) {
  if (!judge_.may_judge()) return false;
  Draft draft = best_.draft;
  if (!change(draft)) return false;
  std::optional<Session::Rated> rated = session_.rate(draft);
  if (!rated || rated->ms >= judge_.too_slow_ms(best_) || !judge_.is_better(*rated, best_))
    return false;
  best_.draft = std::move(draft);
  best_.plan = std::move(rated->plan);
  best_.model_ms = rated->ms;
  pool_.add(best_);
  return true;
}

void Improver::run() {
  bool is_fine = false;
  while (judge_.may_judge()) {
    bool has_improved = false;
    if (knobs_.variants) has_improved = descend_variants(is_fine) || has_improved;
    if (knobs_.chunks) has_improved = descend_chunks(is_fine) || has_improved;
    if (knobs_.budgets) has_improved = descend_budgets(is_fine) || has_improved;
    if (knobs_.priorities) has_improved = descend_priorities(is_fine) || has_improved;
    if (knobs_.syncs) has_improved = descend_syncs(is_fine) || has_improved;
    if (!has_improved && is_fine) break;
    is_fine = true;
  }
  wander();
}

bool Improver::descend_variants(bool is_fine) {
  bool has_improved = false;
  for (double blend : kBlends) {
    has_improved = attempt([&](Draft& draft) {
                     bool changed = false;
                     for (int t = 0; t < num_tenants(); ++t) {
                       changed = moves_.blend_variants(whole(t), blend, draft) || changed;
                     }
                     return changed;
                   }) ||
                   has_improved;
  }
  for (int t = 0; t < num_tenants(); ++t) {
    for (double blend : kBlends) {
      has_improved =
          attempt([&](Draft& draft) { return moves_.blend_variants(whole(t), blend, draft); }) ||
          has_improved;
    }
  }
  if (!is_fine) return has_improved;
  for (const std::string& signature : signatures()) {
    for (std::size_t choice = 0; choice < 4; ++choice) {
      has_improved = attempt([&](Draft& draft) {
                       return moves_.set_signature_variant(signature, choice, draft);
                     }) ||
                     has_improved;
    }
  }
  return has_improved;
}

/// Those that take the most time in a round first.
std::vector<std::string> Improver::signatures() const {
  std::map<std::string, double> ms;
  for (const ProblemTenant& tenant : session_.problem().tenants) {
    for (const ProblemNode& node : tenant.nodes) {
      const auto rows = session_.rows().rows(node.signature, node.batch);
      if (!rows.empty()) ms[node.signature] += rows.front().solo_ms * tenant.repeat;
    }
  }
  std::vector<std::string> sorted;
  for (const auto& [signature, time] : ms) sorted.push_back(signature);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](const std::string& a, const std::string& b) { return ms.at(a) > ms.at(b); });
  return sorted;
}

/// Places worth trying: single groups or halves on few groups, large overlapping intervals on many.
std::vector<Budget> Improver::budgets() const {
  const int groups = session_.problem().device.num_groups;
  std::vector<Budget> result{{0, groups}};
  std::set<int> widths;
  for (int eighth : {1, 2, 3, 4, 5, 6, 7}) widths.insert(std::max(1, groups * eighth / 8));
  for (int width : widths) {
    if (width == groups) continue;
    result.push_back({0, width});
    result.push_back({groups - width, groups});
  }
  if (groups <= 8) {
    for (int g = 1; g + 1 < groups; ++g) result.push_back({g, g + 1});
  }
  return result;
}

/// The whole tenant, its beginnings and its ends.
std::vector<NodeRun> Improver::runs(int tenant, bool is_fine) const {
  const int count = moves_.num_nodes(tenant);
  std::vector<NodeRun> result{{tenant, 0, count}};
  if (!is_fine) return result;
  for (int part : {4, 2, 6, 1, 7, 3, 5}) {
    const int edge = count * part / 8;
    if (edge <= 0 || edge >= count) continue;
    result.push_back({tenant, 0, edge});
    result.push_back({tenant, edge, count});
  }
  return result;
}

bool Improver::descend_budgets(bool is_fine) {
  bool has_improved = false;
  const std::vector<Budget> places = budgets();
  for (int t = 0; t < num_tenants(); ++t) {
    for (const NodeRun& run : runs(t, is_fine)) {
      for (const Budget& budget : places) {
        has_improved =
            attempt([&](Draft& draft) { return moves_.set_budget(run, budget, draft); }) ||
            has_improved;
      }
    }
  }
  return has_improved;
}

bool Improver::descend_priorities(bool is_fine) {
  bool has_improved = false;
  for (int t = 0; t < num_tenants(); ++t) {
    for (const NodeRun& run : runs(t, is_fine)) {
      for (int priority : {1, -1, 0, 2}) {
        has_improved =
            attempt([&](Draft& draft) { return moves_.set_priority(run, priority, draft); }) ||
            has_improved;
      }
    }
  }
  return has_improved;
}

bool Improver::descend_chunks(bool is_fine) {
  bool has_improved = false;
  for (int t = 0; t < num_tenants(); ++t) {
    for (const NodeRun& run : runs(t, is_fine)) {
      for (bool side_by_side : {true, false}) {
        for (int pieces : {2, 4, 1}) {
          has_improved = attempt([&](Draft& draft) {
                           return moves_.set_chunks(run, pieces, side_by_side, draft);
                         }) ||
                         has_improved;
        }
      }
    }
  }
  return has_improved;
}

bool Improver::descend_syncs(bool is_fine) {
  bool has_improved = false;
  // Without each of the sync points there are.
  for (std::size_t i = 0; is_fine && i < std::min<std::size_t>(best_.draft.syncs.size(), 64); ++i) {
    const bool helped = attempt([&](Draft& draft) {
      if (i >= draft.syncs.size()) return false;
      draft.syncs.erase(draft.syncs.begin() + static_cast<std::ptrdiff_t>(i));
      return true;
    });
    if (helped) --i;
    has_improved = helped || has_improved;
  }
  // Barriers between halves or quarters of two tenants.
  const int step = is_fine ? 2 : 4;
  for (int a = 0; a < num_tenants(); ++a) {
    for (int b = 0; b < num_tenants(); ++b) {
      if (a == b || moves_.num_nodes(a) == 0 || moves_.num_nodes(b) == 0) continue;
      for (int from = 0; from < 8; from += step) {
        for (int to = 0; to < 8; to += step) {
          const int before = moves_.num_nodes(a) * from / 8;
          const int after = moves_.num_nodes(b) * to / 8;
          has_improved = attempt([&](Draft& draft) {
                           const int barrier = 1 + static_cast<int>(draft.syncs.size());
                           return moves_.add_sync(a, before, b, after, barrier, draft);
                         }) ||
                         has_improved;
        }
      }
    }
  }
  return has_improved;
}

bool Improver::mutate_budget(const NodeRun& run, Draft& draft) {
  const std::vector<Budget> places = budgets();
  return moves_.set_budget(run, places[at(draw(0, static_cast<int>(places.size()) - 1))], draft);
}

/// A new sync point, one less, or a pointer of one moved by a few nodes.
bool Improver::mutate_sync(Draft& draft) {
  const int kind = draw(0, 2);
  if (kind > 0 && !draft.syncs.empty()) {
    const auto index = at(draw(0, static_cast<int>(draft.syncs.size()) - 1));
    if (kind == 1) {
      draft.syncs.erase(draft.syncs.begin() + static_cast<std::ptrdiff_t>(index));
      return true;
    }
    PieceRef& moved = draw(0, 1) == 0 ? draft.syncs[index].before : draft.syncs[index].after;
    const int count = static_cast<int>(draft.tenants[at(moved.tenant)].nodes.size());
    const int slot = std::clamp(moved.slot + draw(-4, 4), 0, count - 1);
    if (slot == moved.slot) return false;
    moved.slot = slot;
    return true;
  }
  const int a = draw(0, num_tenants() - 1);
  const int b = draw(0, num_tenants() - 1);
  if (a == b || moves_.num_nodes(a) == 0 || moves_.num_nodes(b) == 0) return false;
  return moves_.add_sync(a, draw(0, moves_.num_nodes(a) - 1), b, draw(0, moves_.num_nodes(b) - 1),
                         1 + static_cast<int>(draft.syncs.size()), draft);
}

bool Improver::mutate(Draft& draft) {
  std::vector<int> kinds;
  for (int i = 0; i < 5; ++i) {
    const bool is_on[] = {knobs_.variants, knobs_.budgets, knobs_.priorities, knobs_.syncs,
                          knobs_.chunks};
    if (is_on[i]) kinds.push_back(i);
  }
  if (kinds.empty() || num_tenants() == 0) return false;
  const int tenant = draw(0, num_tenants() - 1);
  const int count = moves_.num_nodes(tenant);
  if (count == 0) return false;
  int length = 1;
  while (length < count && draw(0, 3) > 0) length *= 2;
  const int begin = draw(0, std::max(0, count - length));
  const NodeRun run{tenant, begin, std::min(count, begin + length)};
  switch (kinds[at(draw(0, static_cast<int>(kinds.size()) - 1))]) {
    case 0:
      return moves_.blend_variants(run, kBlends[draw(0, 7)], draft);
    case 1:
      return mutate_budget(run, draft);
    case 2:
      return moves_.set_priority(run, draw(-1, 2), draft);
    case 3:
      return mutate_sync(draft);
    default:
      return moves_.set_chunks(run, 1 << draw(0, 2), draw(0, 1) == 0, draft);
  }
}

void Improver::wander() {
  for (int failures = 0; failures < kPatience && judge_.may_judge();) {
    const bool helped = attempt([&](Draft& draft) {
      const bool changed = mutate(draft);
      // Now and then two moves at once: pairs pay that do not one by one.
      return (draw(0, 2) == 0 && mutate(draft)) || changed;
    });
    failures = helped ? 0 : failures + 1;
  }
}

}  // namespace gacer
