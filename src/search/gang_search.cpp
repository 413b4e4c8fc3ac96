#include "search/gang_search.h"

#include <algorithm>
#include <random>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "search/gang_schedule.h"

namespace gacer {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

class GangSearch {
 public:
  GangSearch(Session& session, const Knobs& knobs, Pool& pool)
      : session_(session),
        knobs_(knobs),
        pool_(pool),
        scheduler_(session.problem(), session.rows()),
        random_(session.seed() * 0x9E3779B97F4A7C15ULL + 1) {}

  void run() {
    best_ = make_genome();
    construct();
    if (best_ms_ == 0) return;  // the model refuses all of them
    descend();
    wander();
  }

 private:
  int num_tenants() const { return static_cast<int>(session_.problem().tenants.size()); }
  int num_nodes(int tenant) const {
    return static_cast<int>(session_.problem().tenants[at(tenant)].nodes.size());
  }

  GangGenome make_genome() const {
    GangGenome genome;
    genome.bias.assign(at(num_tenants()), 1.0);
    for (int t = 0; t < num_tenants(); ++t) {
      genome.modes.emplace_back(at(num_nodes(t)), NodeMode::kOne);
    }
    return genome;
  }

  /// Rates a genome, both with and without pinned orders. True when it beats the best.
  bool attempt(const GangGenome& genome, const std::string& family) {
    bool is_better = false;
    for (bool is_pinned : {false, true}) {
      if (is_pinned && !knobs_.syncs) break;
      if (!session_.may_evaluate()) break;
      GangGenome tried = genome;
      tried.is_pinned = is_pinned;
      Draft draft = scheduler_.schedule(tried, knobs_.chunks);
      std::optional<Session::Rated> rated = session_.rate(draft);
      if (!rated) continue;
      // A pinned order must earn its sync points.
      const double margin = is_pinned ? 0.998 : 1 - 1e-6;
      if (best_ms_ == 0 || rated->ms < best_ms_ * margin) {
        best_ms_ = rated->ms;
        best_ = tried;
        is_better = true;
      }
      pool_.add({family + (is_pinned ? ", pinned" : ""), std::move(draft), std::move(rated->plan),
                 rated->ms});
    }
    return is_better;
  }

  void set_tenant(GangGenome& genome, int tenant, bool is_gang, bool may_split) const {
    for (int n = 0; n < num_nodes(tenant); ++n) {
      genome.modes[at(tenant)][at(n)] =
          is_gang ? scheduler_.best_gang(tenant, n, may_split) : NodeMode::kOne;
    }
  }

  /// Whole tenants on one core or on all of them; several rules of who goes first.
  void construct() {
    const int tenants = std::min(num_tenants(), 6);
    for (int mask = 0; mask < (1 << tenants); ++mask) {
      for (double stickiness : {0.3, 0.03, 4.0}) {
        for (bool may_split : {true, false}) {
          if (may_split ? !knobs_.chunks : mask == 0) continue;
          GangGenome genome = make_genome();
          genome.stickiness = stickiness;
          for (int t = 0; t < tenants; ++t) {
            set_tenant(genome, t, (mask >> t & 1) != 0, may_split);
          }
          attempt(genome, fmt::format("schedule {:b}{}", mask, may_split ? " split" : ""));
          if (!session_.may_evaluate()) return;
        }
      }
    }
    if (!knobs_.variants) return;
    for (double blend : {0.5, 0.0}) {
      GangGenome genome = best_;
      genome.blend = blend;
      attempt(genome, "schedule of small areas");
    }
  }

  /// Coordinate descent: beginnings and ends of tenants on all cores, then orders.
  void descend() {
    bool has_improved = true;
    while (has_improved && session_.may_evaluate()) {
      has_improved = false;
      for (int t = 0; t < num_tenants(); ++t) {
        has_improved = move_pointers(t) || has_improved;
        for (double factor : {0.5, 0.8, 1.25, 2.0}) {
          GangGenome genome = best_;
          genome.bias[at(t)] *= factor;
          has_improved = attempt(genome, "schedule improved") || has_improved;
          if (!session_.may_evaluate()) return;
        }
        has_improved = flip_signatures(t) || has_improved;
      }
      for (double stickiness : {0.01, 0.1, 0.3, 1.0, 8.0}) {
        GangGenome genome = best_;
        genome.stickiness = stickiness;
        has_improved = attempt(genome, "schedule improved") || has_improved;
      }
    }
  }

  /// Where a tenant goes from all cores to one and back.
  bool move_pointers(int tenant) {
    bool has_improved = false;
    const int count = num_nodes(tenant);
    for (bool is_head : {true, false}) {
      for (int part = 1; part < 8; ++part) {
        const int length = std::max(1, count * part / 8);
        for (NodeMode mode : modes()) {
          GangGenome genome = best_;
          const int begin = is_head ? 0 : count - length;
          set_run(genome, tenant, begin, begin + length, mode);
          has_improved = attempt(genome, "schedule improved") || has_improved;
          if (!session_.may_evaluate()) return has_improved;
        }
      }
    }
    return has_improved;
  }

  bool flip_signatures(int tenant) {
    bool has_improved = false;
    const auto& nodes = session_.problem().tenants[at(tenant)].nodes;
    std::vector<std::string> done;
    for (const ProblemNode& node : nodes) {
      if (std::find(done.begin(), done.end(), node.signature) != done.end()) continue;
      done.push_back(node.signature);
      for (NodeMode mode : modes()) {
        GangGenome genome = best_;
        for (std::size_t n = 0; n < nodes.size(); ++n) {
          if (nodes[n].signature == node.signature) {
            set_run(genome, tenant, static_cast<int>(n), static_cast<int>(n) + 1, mode);
          }
        }
        if (genome.modes == best_.modes) continue;
        has_improved = attempt(genome, "schedule improved") || has_improved;
        if (!session_.may_evaluate()) return has_improved;
      }
    }
    return has_improved;
  }

  /// Random runs of nodes take another mode, until the evaluations are used.
  void wander() {
    // Without chances to improve (one tenant of one node) evaluations are not worth using up.
    for (int failures = 0; failures < kPatience && session_.may_evaluate();) {
      GangGenome genome = best_;
      const int tenant = draw(0, num_tenants() - 1);
      const int count = num_nodes(tenant);
      if (count == 0) {
        ++failures;
        continue;
      }
      int length = 1;
      while (length < count && draw(0, 3) > 0) length *= 2;
      const int begin = draw(0, std::max(0, count - length));
      const auto choices = modes();
      set_run(genome, tenant, begin, std::min(count, begin + length),
              choices[at(draw(0, static_cast<int>(choices.size()) - 1))]);
      if (genome.modes == best_.modes) {
        ++failures;
        continue;
      }
      failures = attempt(genome, "schedule improved") ? 0 : failures + 1;
    }
  }

  std::vector<NodeMode> modes() const {
    if (knobs_.chunks) return {NodeMode::kOne, NodeMode::kAll, NodeMode::kSplit};
    return {NodeMode::kOne, NodeMode::kAll};
  }

  void set_run(GangGenome& genome, int tenant, int begin, int end, NodeMode mode) const {
    for (int n = begin; n < end; ++n) {
      if (scheduler_.can(tenant, n, mode)) {
        genome.modes[at(tenant)][at(n)] = mode;
      } else if (mode != NodeMode::kOne) {
        genome.modes[at(tenant)][at(n)] = scheduler_.best_gang(tenant, n, knobs_.chunks);
      }
    }
  }

  // Not std::uniform_int_distribution: its results differ between libraries.
  int draw(int low, int high) {
    return low + static_cast<int>(random_() % static_cast<std::uint64_t>(high - low + 1));
  }

  static constexpr int kPatience = 400;

  Session& session_;
  const Knobs& knobs_;
  Pool& pool_;
  GangScheduler scheduler_;
  std::mt19937_64 random_;
  GangGenome best_;
  double best_ms_ = 0;
};

}  // namespace

void search_gangs(Session& session, const Knobs& knobs, Pool& pool) {
  if (session.problem().tenants.empty()) return;
  GangSearch(session, knobs, pool).run();
}

}  // namespace gacer
