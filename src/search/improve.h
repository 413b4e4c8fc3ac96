#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "search/knobs.h"
#include "search/moves.h"
#include "search/pool.h"
#include "search/session.h"

namespace gacer {

/// Who says whether a changed plan is better than the best so far.
class Judge {
 public:
  virtual ~Judge() = default;
  /// Whether another change may be judged; once false, it stays so.
  virtual bool may_judge() const = 0;
  /// Plans that the model gives so much time or more are not worth a judgement.
  virtual double too_slow_ms(const Candidate& best) const = 0;
  virtual bool is_better(const Session::Rated& changed, const Candidate& best) = 0;
};

/// By the model's time.
class ModelJudge final : public Judge {
 public:
  explicit ModelJudge(Session& session) : session_(session) {}
  bool may_judge() const override { return session_.may_evaluate(); }
  double too_slow_ms(const Candidate& best) const override { return best.model_ms * (1 - 1e-5); }
  bool is_better(const Session::Rated&, const Candidate&) override { return true; }

 private:
  Session& session_;
};

/// Coordinate descent from one draft: variants by signature (what takes long first), tenant and run
/// of nodes; budgets and priorities of tenants and runs; barriers (pairs of pointers into two
/// tenants) moved along them; chunks of runs. Then random moves with restarts from the best.
class Improver {
 public:
  /// References outlive the improver.
  Improver(Session& session, const Knobs& knobs, Judge& judge, Pool& pool, Candidate start);

  /// Until nothing helps or the judge has no more patience.
  void run();

  const Candidate& best() const { return best_; }

 private:
  using Change = std::function<bool(Draft&)>;

  bool attempt(const Change& change);
  /// One pass each. Coarse passes move whole tenants, fine ones also parts and single signatures.
  bool descend_variants(bool is_fine);
  bool descend_budgets(bool is_fine);
  bool descend_priorities(bool is_fine);
  bool descend_syncs(bool is_fine);
  bool descend_chunks(bool is_fine);
  void wander();
  /// One random change of a draft by an enabled knob; false when it did not apply.
  bool mutate(Draft& draft);
  std::vector<std::string> signatures() const;

  bool mutate_budget(const NodeRun& run, Draft& draft);
  bool mutate_sync(Draft& draft);
  std::vector<Budget> budgets() const;
  std::vector<NodeRun> runs(int tenant, bool is_fine) const;
  NodeRun whole(int tenant) const { return {tenant, 0, moves_.num_nodes(tenant)}; }
  int num_tenants() const { return static_cast<int>(session_.problem().tenants.size()); }
  int draw(int low, int high) {
    return low + static_cast<int>(random_() % static_cast<std::uint64_t>(high - low + 1));
  }

  Session& session_;
  Knobs knobs_;
  Judge& judge_;
  Pool& pool_;
  Candidate best_;
  Moves moves_;
  std::mt19937_64 random_;
};

}  // namespace gacer
