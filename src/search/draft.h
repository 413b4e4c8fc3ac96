#pragma once

#include <string_view>
#include <vector>

#include <gacer/plan.h>

#include "base/result.h"
#include "plan/problem.h"
#include "profile/profile.h"

namespace gacer {

/// A chunk of a node with the row that says how it runs.
struct Piece {
  Chunk chunk;
  const ProfileRow* row = nullptr;
  Budget budget;
  int priority = 0;
  int lane = 0;  ///< within the tenant
};

/// One iteration of one node: its pieces cover the batch, in ascending order.
struct NodeDraft {
  std::vector<Piece> pieces;
};

struct TenantDraft {
  /// iteration * nodes + node
  std::vector<NodeDraft> nodes;
};

/// Names a step by what it computes, so that it survives changes of other nodes. A piece that no
/// longer exists means the last one.
struct PieceRef {
  int tenant = 0;
  int slot = 0;  ///< iteration * nodes + node
  int piece = 0;
  friend auto operator<=>(const PieceRef&, const PieceRef&) = default;
};

struct DraftSync {
  PieceRef before;
  PieceRef after;
  int barrier = -1;
  friend auto operator<=>(const DraftSync&, const DraftSync&) = default;
};

/// A plan while it is searched. Lanes of a tenant run its nodes in order.
struct Draft {
  std::vector<TenantDraft> tenants;
  std::vector<DraftSync> syncs;
  LaunchMode mode = LaunchMode::kMerged;
};

/// The priority of a tenant's steps before a search changes it. Searches stay within [-1, 2] of it,
/// so that what the user put first stays first.
inline int base_priority(const ProblemTenant& tenant) { return 4 * tenant.priority; }

/// A plan without lanes: policy, seed, device, tenants.
Plan make_empty_plan(const Problem& problem, std::string_view policy, std::uint64_t seed);

/// The draft as a plan, with the sync points that memory needs; sync points that say nothing (same
/// lane) are left out. A Refusal when they close a cycle.
Result<Plan> render(const Problem& problem, const Draft& draft, std::string_view policy,
                    std::uint64_t seed);

/// Every node whole, in one lane a tenant, run by `row(node)` on `budget`-sized first groups.
/// Error{kUnsupported} names a node without rows.
Draft make_whole_draft(const Problem& problem, const ProfileTable& rows);

/// Puts a whole node's row and budget.
void set_whole(const ProblemNode& node, const ProfileRow& row, Budget budget, NodeDraft& draft);

}  // namespace gacer
