#include "search/draft.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "plan/verify.h"

namespace gacer {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// Where each piece of a tenant went, slot by slot.
struct Places {
  std::vector<std::size_t> first;  ///< of each slot's; at the end: their number
  std::vector<StepRef> refs;

  /// Of the last piece where there are fewer.
  StepRef find(int slot, int piece) const {
    return refs[std::min(first[at(slot)] + at(piece), first[at(slot) + 1] - 1)];
  }
};

void add_tenant(const Problem& problem, const Draft& draft, int tenant, Plan& plan,
                Places& places) {
  const int num_nodes = static_cast<int>(problem.tenants[at(tenant)].nodes.size());
  const TenantDraft& from = draft.tenants[at(tenant)];
  std::vector<int> lanes;  // of the plan, by the draft's lane
  places.first.reserve(from.nodes.size() + 1);
  places.refs.reserve(from.nodes.size());
  for (std::size_t slot = 0; slot < from.nodes.size(); ++slot) {
    places.first.push_back(places.refs.size());
    for (const Piece& piece : from.nodes[slot].pieces) {
      if (at(piece.lane) >= lanes.size()) lanes.resize(at(piece.lane) + 1, -1);
      int& lane = lanes[at(piece.lane)];
      if (lane < 0) {
        lane = static_cast<int>(plan.lanes.size());
        plan.lanes.push_back({tenant, {}});
        if (lanes.size() == 1) plan.lanes.back().steps.reserve(from.nodes.size());
      }
      Step step;
      step.tenant = tenant;
      step.node = static_cast<int>(slot) % num_nodes;
      step.iteration = static_cast<int>(slot) / num_nodes;
      step.chunk = piece.chunk;
      step.variant = piece.row->variant;
      step.budget = piece.budget;
      step.priority = piece.priority;
      auto& steps = plan.lanes[at(lane)].steps;
      places.refs.push_back({lane, static_cast<int>(steps.size())});
      steps.push_back(std::move(step));
    }
  }
  places.first.push_back(places.refs.size());
}

}  // namespace

Plan make_empty_plan(const Problem& problem, std::string_view policy, std::uint64_t seed) {
  Plan plan;
  plan.policy = policy;
  plan.seed = seed;
  plan.device_id = problem.device.profile_id();
  plan.num_groups = problem.device.num_groups;
  for (const ProblemTenant& tenant : problem.tenants) plan.tenants.push_back(tenant.identity);
  return plan;
}

Result<Plan> render(const Problem& problem, const Draft& draft, std::string_view policy,
                    std::uint64_t seed) {
  Plan plan = make_empty_plan(problem, policy, seed);
  plan.mode = draft.mode;
  std::vector<Places> places(draft.tenants.size());
  for (std::size_t t = 0; t < draft.tenants.size(); ++t) {
    add_tenant(problem, draft, static_cast<int>(t), plan, places[t]);
  }
  const auto place_of = [&](const PieceRef& ref) {
    return places[at(ref.tenant)].find(ref.slot, ref.piece);
  };
  for (const DraftSync& sync : draft.syncs) {
    const StepRef before = place_of(sync.before);
    const StepRef after = place_of(sync.after);
    if (before.lane != after.lane) {
      plan.sync_points.push_back({before, after, sync.barrier});
    } else if (before.index >= after.index) {
      return refuse("a sync point goes backwards in lane {}: step {} before step {}", before.lane,
                    before.index, after.index);
    }
  }
  if (plan.lanes.size() == draft.tenants.size()) return plan;  // one lane each: memory is in order
  try {
    order_memory(problem, plan);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::kInternal && e.kind() != ErrorKind::kPlan) throw;
    return Refusal{e.message()};
  }
  return plan;
}

namespace {

/// The fastest row of a node. Where variants are not tied to a width, steps take the whole device:
/// on a part of it a small one may be as fast, but each change of the part along a chain costs more
/// than such a step.
const ProfileRow& fastest_whole(const Problem& problem, const ProfileTable& rows,
                                const ProblemNode& node) {
  const ProfileRow* row = nullptr;
  if (!problem.is_width_fixed)
    row = rows.fastest(node.signature, node.batch, problem.device.num_groups);
  return row != nullptr ? *row : rows.rows(node.signature, node.batch).front();
}

}  // namespace

Draft make_whole_draft(const Problem& problem, const ProfileTable& rows) {
  Draft draft;
  for (const ProblemTenant& tenant : problem.tenants) {
    TenantDraft made;
    for (int iteration = 0; iteration < tenant.repeat; ++iteration) {
      for (const ProblemNode& node : tenant.nodes) {
        const auto usable = rows.rows(node.signature, node.batch);
        if (usable.empty()) {
          fail(ErrorKind::kUnsupported,
               "tenant '{}' node '{}' ({}): no usable profile row for signature {}, {} items",
               tenant.identity.name, node.name, node.op, node.signature, node.batch);
        }
        const ProfileRow& row = fastest_whole(problem, rows, node);
        NodeDraft& added = made.nodes.emplace_back();
        set_whole(node, row, {0, problem.is_width_fixed ? row.width : problem.device.num_groups},
                  added);
        added.pieces[0].priority = base_priority(tenant);
      }
    }
    draft.tenants.push_back(std::move(made));
  }
  return draft;
}

void set_whole(const ProblemNode& node, const ProfileRow& row, Budget budget, NodeDraft& draft) {
  const int priority = draft.pieces.empty() ? 0 : draft.pieces[0].priority;
  draft.pieces.assign(1, Piece{{0, node.batch}, &row, budget, priority, 0});
}

}  // namespace gacer
