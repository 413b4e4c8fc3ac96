#include "search/simple_drafts.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"

namespace gacer {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// Work of a tenant on the whole device, to split groups by.
double total_area(const Problem& problem, const ProfileTable& rows, int tenant) {
  double area = 0;
  for (const ProblemNode& node : problem.tenants[at(tenant)].nodes) {
    const auto usable = rows.rows(node.signature, node.batch);
    if (!usable.empty()) area += area_ms(usable.front(), problem.device.num_groups);
  }
  return std::max(area * problem.tenants[at(tenant)].repeat, 1e-9);
}

std::string describe_split(const Problem& problem, const std::vector<Budget>& budgets) {
  std::string text;
  for (std::size_t t = 0; t < budgets.size(); ++t) {
    text += fmt::format("{}{} on [{}, {})", t ? ", " : "", problem.tenants[t].identity.name,
                        budgets[t].begin, budgets[t].end);
  }
  return text;
}

/// The fastest row at a width; where variants are not tied to theirs, of any width.
const ProfileRow* find_row(const Problem& problem, const ProfileTable& rows,
                           const ProblemNode& node, int width) {
  const ProfileRow* row = rows.fastest(node.signature, node.batch, width);
  if (row || problem.is_width_fixed) return row;
  const auto usable = rows.rows(node.signature, node.batch);
  return usable.empty() ? nullptr : &usable.front();
}

/// Splits as intervals per tenant, rated roughly by sums of rows; only the best are built.
class PartitionMaker {
 public:
  PartitionMaker(const Problem& problem, const ProfileTable& rows)
      : problem_(problem), rows_(rows) {}

  std::vector<NamedDraft> make() {
    const int groups = problem_.device.num_groups;
    const int tenants = static_cast<int>(problem_.tenants.size());
    std::vector<Budget> intervals;
    for (int begin = 0; begin < groups; ++begin) {
      for (int end = begin + 1; end <= groups; ++end) intervals.push_back({begin, end});
    }
    double combinations = 1;
    for (int t = 0; t < tenants; ++t) combinations *= static_cast<double>(intervals.size());
    if (combinations <= kMostExhaustive) {
      std::vector<Budget> chosen(at(tenants));
      enumerate(intervals, 0, chosen);
    } else {
      split_by_weight(groups, tenants);
    }
    return build();
  }

 private:
  static constexpr double kMostExhaustive = 5000;
  static constexpr std::size_t kMostSplits = 5000;
  static constexpr int kMostClusterings = 20000;  // a dozen tenants have millions
  static constexpr std::size_t kMostBuilt = 32;

  struct Split {
    std::vector<Budget> budgets;
    bool wide_first = true;
    double rough_ms = 0;
  };

  void enumerate(const std::vector<Budget>& intervals, int tenant, std::vector<Budget>& chosen) {
    if (at(tenant) == chosen.size()) {
      add(chosen, /*wide_first=*/true);
      const bool all_equal = std::all_of(chosen.begin(), chosen.end(),
                                         [&](const Budget& b) { return b == chosen.front(); });
      if (!all_equal) add(chosen, /*wide_first=*/false);
      return;
    }
    for (const Budget& interval : intervals) {
      chosen[at(tenant)] = interval;
      enumerate(intervals, tenant + 1, chosen);
    }
  }

  /// Tenants in clusters that share an interval; intervals in proportion to the clusters' work,
  /// bent towards equal shares or towards the largest.
  void split_by_weight(int groups, int tenants) {
    std::vector<double> work(at(tenants));
    for (int t = 0; t < tenants; ++t) work[at(t)] = total_area(problem_, rows_, t);
    std::vector<int> cluster(at(tenants), 0);
    int clusterings = 0;
    const std::function<void(int, int)> assign = [&](int tenant, int used) {
      if (splits_.size() >= kMostSplits || clusterings >= kMostClusterings) return;
      if (tenant < tenants) {
        for (int c = 0; c <= used && c < std::min(groups, tenants); ++c) {
          cluster[at(tenant)] = c;
          assign(tenant + 1, std::max(used, c + 1));
        }
        return;
      }
      ++clusterings;
      if (used < 2) return;
      for (double bend : {1.0, 0.0, 0.5, 0.75, 1.5, 0.25, 1.25, 2.0}) {
        add_split(work, cluster, used, groups, bend);
      }
    };
    assign(0, 0);
  }

  void add_split(const std::vector<double>& work, const std::vector<int>& cluster, int clusters,
                 int groups, double bend) {
    std::vector<double> share(at(clusters), 0);
    for (std::size_t t = 0; t < work.size(); ++t) share[at(cluster[t])] += work[t];
    double sum = 0;
    for (double& s : share) sum += s = std::pow(s, bend);
    std::vector<int> edges{0};
    double seen = 0;
    for (int c = 0; c < clusters; ++c) {
      seen += share[at(c)];
      const int left = clusters - 1 - c;
      const int edge = static_cast<int>(std::lround(groups * seen / sum));
      edges.push_back(std::clamp(edge, edges.back() + 1, groups - left));
    }
    std::vector<Budget> budgets;
    for (int c : cluster) budgets.push_back({edges[at(c)], edges[at(c) + 1]});
    if (weighted_.insert(edges_of(budgets)).second) add(budgets, /*wide_first=*/true);
  }

  static std::vector<std::pair<int, int>> edges_of(const std::vector<Budget>& budgets) {
    std::vector<std::pair<int, int>> edges;
    for (const Budget& budget : budgets) edges.emplace_back(budget.begin, budget.end);
    return edges;
  }

  void add(const std::vector<Budget>& budgets, bool wide_first) {
    Split split{budgets, wide_first, 0};
    const std::optional<double> rough = rough_ms(split);
    if (!rough) return;
    split.rough_ms = *rough;
    splits_.push_back(std::move(split));
  }

  /// Tenants in turn, each as long as the sum of its rows on that width, or (groups shared like a
  /// GPU's) as long as all tenants' areas there take.
  std::optional<double> rough_ms(const Split& split) {
    std::vector<double> busy(at(problem_.device.num_groups), 0);
    double end = 0;
    for (int tenant : turn_order(split)) {
      const Budget& budget = split.budgets[at(tenant)];
      const double length = tenant_ms(tenant, budget.end - budget.begin);
      if (length < 0) return std::nullopt;
      const auto first = busy.begin() + budget.begin;
      const auto last = busy.begin() + budget.end;
      if (problem_.is_width_fixed) {
        const double until = *std::max_element(first, last) + length;
        std::fill(first, last, until);
        end = std::max(end, until);
      } else {
        const double share = problem_.device.num_groups / double(budget.end - budget.begin);
        const double area = total_area(problem_, rows_, tenant) * share;
        for (auto group = first; group != last; ++group) *group += area;
        end = std::max({end, length, *std::max_element(first, last)});
      }
    }
    return end;
  }

  static std::vector<int> turn_order(const Split& split) {
    std::vector<int> order(split.budgets.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
      const int wa = split.budgets[at(a)].end - split.budgets[at(a)].begin;
      const int wb = split.budgets[at(b)].end - split.budgets[at(b)].begin;
      return split.wide_first ? wa > wb : wa < wb;
    });
    return order;
  }

  /// Sum of a tenant's fastest rows at a width; negative when a node has none.
  double tenant_ms(int tenant, int width) {
    auto [found, is_new] = tenant_ms_.try_emplace({tenant, width}, 0.0);
    if (!is_new) return found->second;
    double& sum = found->second;
    for (const ProblemNode& node : problem_.tenants[at(tenant)].nodes) {
      const ProfileRow* row = find_row(problem_, rows_, node, width);
      if (!row) return sum = -1;
      sum += row->width == width
                 ? row->solo_ms
                 : std::max(row->solo_ms, area_ms(*row, problem_.device.num_groups) *
                                              problem_.device.num_groups / width);
    }
    return sum *= problem_.tenants[at(tenant)].repeat;
  }

  std::vector<NamedDraft> build() {
    std::stable_sort(splits_.begin(), splits_.end(),
                     [](const Split& a, const Split& b) { return a.rough_ms < b.rough_ms; });
    if (splits_.size() > kMostBuilt) splits_.resize(kMostBuilt);
    const Draft base = make_whole_draft(problem_, rows_);
    std::vector<NamedDraft> drafts;
    for (const Split& split : splits_) {
      NamedDraft named{describe_split(problem_, split.budgets), base};
      if (!split.wide_first) named.name += ", narrow first";
      for (std::size_t t = 0; t < split.budgets.size(); ++t) {
        place_tenant(problem_, rows_, static_cast<int>(t), split.budgets[t],
                     named.draft.tenants[t]);
      }
      if (problem_.is_width_fixed) add_turns(split, named.draft);
      drafts.push_back(std::move(named));
    }
    return drafts;
  }

  /// Tenants whose intervals meet take turns.
  void add_turns(const Split& split, Draft& draft) const {
    std::vector<int> last(at(problem_.device.num_groups), -1);  // tenant on each group so far
    for (int tenant : turn_order(split)) {
      std::set<int> before;
      for (int g = split.budgets[at(tenant)].begin; g < split.budgets[at(tenant)].end; ++g) {
        if (last[at(g)] >= 0) before.insert(last[at(g)]);
        last[at(g)] = tenant;
      }
      for (int other : before) add_turn(problem_, other, tenant, draft);
    }
  }

  const Problem& problem_;
  const ProfileTable& rows_;
  std::vector<Split> splits_;
  std::set<std::vector<std::pair<int, int>>> weighted_;  ///< those of split_by_weight()
  std::map<std::pair<int, int>, double> tenant_ms_;
};

}  // namespace

bool place_tenant(const Problem& problem, const ProfileTable& rows, int tenant, Budget budget,
                  TenantDraft& draft) {
  const auto& nodes = problem.tenants[at(tenant)].nodes;
  const int width = budget.size(problem.device.num_groups);
  for (std::size_t slot = 0; slot < draft.nodes.size(); ++slot) {
    const ProblemNode& node = nodes[slot % nodes.size()];
    const ProfileRow* row = find_row(problem, rows, node, width);
    if (!row) return false;
    set_whole(node, *row, budget, draft.nodes[slot]);
  }
  return true;
}

void add_turn(const Problem& problem, int before, int after, Draft& draft) {
  const int last = static_cast<int>(draft.tenants[at(before)].nodes.size()) - 1;
  if (last < 0 || draft.tenants[at(after)].nodes.empty()) return;
  require(at(before) < problem.tenants.size() && at(after) < problem.tenants.size(),
          "turn of tenants {} and {}", before, after);
  // Tenants of simple drafts have one lane: its ends stand for all.
  draft.syncs.push_back({{before, last, 0}, {after, 0, 0}, -1});
}

NamedDraft make_sequential_draft(const Problem& problem, const ProfileTable& rows) {
  NamedDraft named{"sequential", make_whole_draft(problem, rows)};
  int previous = -1;
  for (std::size_t t = 0; t < problem.tenants.size(); ++t) {
    if (problem.tenants[t].nodes.empty()) continue;
    if (previous >= 0) add_turn(problem, previous, static_cast<int>(t), named.draft);
    previous = static_cast<int>(t);
  }
  return named;
}

std::vector<NamedDraft> make_streams_drafts(const Problem& problem, const ProfileTable& rows) {
  Draft merged = make_whole_draft(problem, rows);
  Draft free_running = merged;
  free_running.mode = LaunchMode::kFreeRunning;
  return {{"merged streams", std::move(merged)}, {"free-running streams", std::move(free_running)}};
}

std::vector<NamedDraft> make_partition_drafts(const Problem& problem, const ProfileTable& rows) {
  return PartitionMaker(problem, rows).make();
}

std::vector<Candidate> rate_all(Session& session, std::vector<NamedDraft> drafts) {
  std::vector<Candidate> rated;
  for (NamedDraft& named : drafts) {
    if (!session.may_evaluate() && !rated.empty()) break;
    std::optional<Session::Rated> result = session.rate(named.draft);
    if (!result) continue;
    rated.push_back(
        {std::move(named.name), std::move(named.draft), std::move(result->plan), result->ms});
  }
  std::stable_sort(rated.begin(), rated.end(),
                   [](const Candidate& a, const Candidate& b) { return a.model_ms < b.model_ms; });
  return rated;
}

Plan choose(Session& session, const std::vector<Candidate>& candidates, std::size_t finalists) {
  const Candidate* best = &candidates.front();
  double best_ms = 0;
  std::string measured;
  for (std::size_t i = 0; i < std::min(finalists, candidates.size()); ++i) {
    if (!session.may_measure()) break;
    const std::optional<double> ms = session.measure(candidates[i].plan);
    if (!ms) continue;
    measured +=
        fmt::format("{}{}: {:.3f} ms", measured.empty() ? "" : "; ", candidates[i].name, *ms);
    if (best_ms == 0 || *ms < best_ms) {
      best_ms = *ms;
      best = &candidates[i];
    }
  }
  Plan plan = best->plan;
  plan.notes["chosen"] = best->name;
  plan.notes["predicted_ms"] = fmt::format("{:.4f}", best->model_ms);
  plan.notes["compared"] = fmt::format("{} on the model", candidates.size());
  if (!measured.empty()) plan.notes["measured"] = measured;
  return plan;
}

std::vector<Candidate> rate_simple(Session& session) {
  std::vector<NamedDraft> drafts;
  drafts.push_back(make_sequential_draft(session.problem(), session.rows()));
  for (NamedDraft& draft : make_streams_drafts(session.problem(), session.rows())) {
    drafts.push_back(std::move(draft));
  }
  for (NamedDraft& draft : make_partition_drafts(session.problem(), session.rows())) {
    draft.name = "partition " + draft.name;
    drafts.push_back(std::move(draft));
  }
  std::vector<Candidate> rated = rate_all(session, std::move(drafts));
  if (rated.empty()) {
    fail(ErrorKind::kUnsupported, "the model refuses every simple plan; are rows missing?");
  }
  return rated;
}

}  // namespace gacer
