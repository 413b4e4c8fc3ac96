#pragma once

#include <functional>
#include <string>
#include <vector>

#include "search/draft.h"
#include "search/knobs.h"
#include "search/options.h"

namespace gacer {

/// A run [begin, end) of a tenant's nodes, in every iteration.
struct NodeRun {
  int tenant = 0;
  int begin = 0;
  int end = 0;
};

/// Changes of drafts. Each returns false, leaving the draft as it may be, when it does not apply or
/// changes nothing.
class Moves {
 public:
  Moves(const Problem& problem, const ProfileTable& rows)
      : problem_(problem), options_(problem, rows) {}

  /// Variants by blend, at the pieces' sizes and budgets.
  bool blend_variants(const NodeRun& run, double blend, Draft& draft);
  /// The `choice`-th variant (of those worth trying) for all nodes of one signature.
  bool set_signature_variant(const std::string& signature, std::size_t choice, Draft& draft);
  /// Another place, with the fastest variant for its width where variants are tied to it.
  bool set_budget(const NodeRun& run, Budget budget, Draft& draft);
  /// `offset` from the tenant's own priority, within [-1, 2].
  bool set_priority(const NodeRun& run, int offset, Draft& draft);
  /// Cuts the batch into `pieces` (1: whole) of sizes that have rows, side by side in lanes of
  /// their own (each on its share of the groups when variants are tied to their width) or one after
  /// the other.
  bool set_chunks(const NodeRun& run, int pieces, bool side_by_side, Draft& draft);
  /// `after`'s node waits for `before`'s, in each iteration that both have.
  bool add_sync(int before, int before_node, int after, int after_node, int barrier,
                Draft& draft) const;

  int num_nodes(int tenant) const {
    return static_cast<int>(problem_.tenants[static_cast<std::size_t>(tenant)].nodes.size());
  }

 private:
  bool for_each(const NodeRun& run, Draft& draft,
                const std::function<bool(const ProblemNode&, NodeDraft&)>& change) const;

  const Problem& problem_;
  Options options_;
};

}  // namespace gacer
