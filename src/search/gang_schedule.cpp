#include "search/gang_schedule.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace gacer {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }
std::size_t at(NodeMode mode) { return static_cast<std::size_t>(mode); }

/// The row of a width with the smallest blend of solo time and area.
const ProfileRow* find_blended(const ProfileTable& rows, const ProblemNode& node,
                               std::int64_t items, int width, int num_groups, double blend) {
  const ProfileRow* best = nullptr;
  double best_ms = 0;
  for (const ProfileRow& row : rows.rows(node.signature, items)) {
    if (row.width != width) continue;
    // Area in the time of one core's width, so that both are alike.
    const double ms =
        blend * row.solo_ms + (1 - blend) * area_ms(row, num_groups) * num_groups / width;
    if (!best || ms < best_ms) {
      best = &row;
      best_ms = ms;
    }
  }
  return best;
}

/// Sizes of at most `num_cores` chunks of a batch, as even as rows allow; empty when there are
/// none.
std::vector<std::int64_t> even_chunks(const ProfileTable& rows, const ProblemNode& node,
                                      int num_cores) {
  for (std::int64_t pieces = std::min<std::int64_t>(num_cores, node.batch); pieces > 1; --pieces) {
    std::vector<std::int64_t> sizes;
    for (std::int64_t i = 0; i < pieces; ++i) {
      sizes.push_back(node.batch * (i + 1) / pieces - node.batch * i / pieces);
    }
    const bool have_rows = std::all_of(sizes.begin(), sizes.end(), [&](std::int64_t size) {
      return rows.has(node.signature, size);
    });
    if (have_rows) return sizes;
  }
  return {};
}

constexpr double kBlends[] = {0, 0.5, 1};

}  // namespace

GangScheduler::GangScheduler(const Problem& problem, const ProfileTable& rows)
    : problem_(problem), rows_(rows), num_cores_(problem.device.num_groups) {
  for (double blend : kBlends) {
    auto& table = tables_.emplace_back();
    for (const ProblemTenant& tenant : problem.tenants) {
      auto& nodes = table.emplace_back(tenant.nodes.size());
      for (std::size_t n = 0; n < nodes.size(); ++n) add_node(tenant.nodes[n], blend, nodes[n]);
    }
  }
}

void GangScheduler::add_node(const ProblemNode& node, double blend, NodeWays& ways) const {
  for (const NodeMode mode : {NodeMode::kOne, NodeMode::kAll}) {
    const int width = mode == NodeMode::kOne ? 1 : num_cores_;
    const ProfileRow* row = find_blended(rows_, node, node.batch, width, num_cores_, blend);
    if (!row) continue;
    Way& way = ways.ways[at(mode)];
    way.pieces.push_back({{0, node.batch}, row, {0, width}, 0, 0});
    way.length_ms = row->solo_ms;
  }
  if (node.is_splittable() && num_cores_ > 1) {
    Way way;
    double area = 0;
    std::int64_t begin = 0;
    for (std::int64_t size : even_chunks(rows_, node, num_cores_)) {
      const ProfileRow* row = find_blended(rows_, node, size, 1, num_cores_, blend);
      if (!row) {
        way.pieces.clear();
        break;
      }
      const int core = static_cast<int>(way.pieces.size());
      way.pieces.push_back({{begin, begin + size}, row, {core, core + 1}, 0, core});
      way.length_ms = std::max(way.length_ms, row->solo_ms);
      area += area_ms(*row, num_cores_);
      begin += size;
    }
    way.length_ms = std::max(way.length_ms, area);
    if (way.pieces.size() > 1) ways.ways[at(NodeMode::kSplit)] = std::move(way);
  }
  const bool is_possible = std::any_of(std::begin(ways.ways), std::end(ways.ways),
                                       [](const Way& way) { return !way.pieces.empty(); });
  if (is_possible) return;
  // Rows of widths in between only.
  const auto usable = rows_.rows(node.signature, node.batch);
  if (usable.empty()) {
    fail(ErrorKind::kUnsupported,
         "node '{}' ({}): no usable profile row for signature {}, {} items", node.name, node.op,
         node.signature, node.batch);
  }
  Way& way = ways.ways[at(NodeMode::kAll)];
  way.pieces.push_back({{0, node.batch}, &usable.front(), {0, usable.front().width}, 0, 0});
  way.length_ms = usable.front().solo_ms;
}

const GangScheduler::NodeWays& GangScheduler::ways(int tenant, int node, double blend) const {
  const std::size_t table = blend < 0.25 ? 0 : blend < 0.75 ? 1 : 2;
  return tables_[table][at(tenant)][at(node)];
}

bool GangScheduler::can(int tenant, int node, NodeMode mode) const {
  return !ways(tenant, node, 1).ways[at(mode)].pieces.empty();
}

double GangScheduler::length_ms(int tenant, int node, NodeMode mode) const {
  return ways(tenant, node, 1).ways[at(mode)].length_ms;
}

NodeMode GangScheduler::best_gang(int tenant, int node, bool may_split) const {
  const bool can_split = may_split && can(tenant, node, NodeMode::kSplit);
  const bool can_all = can(tenant, node, NodeMode::kAll);
  if (can_split && can_all) {
    return length_ms(tenant, node, NodeMode::kSplit) < length_ms(tenant, node, NodeMode::kAll)
               ? NodeMode::kSplit
               : NodeMode::kAll;
  }
  return can_split ? NodeMode::kSplit : can_all ? NodeMode::kAll : NodeMode::kOne;
}

/// One list-scheduling run.
class GangScheduler::Run {
 public:
  Run(const GangScheduler& owner, const GangGenome& genome, bool may_split)
      : owner_(owner), genome_(genome), may_split_(may_split) {}

  Draft make() {
    const auto& tenants = owner_.problem_.tenants;
    tenants_.resize(tenants.size());
    draft_.tenants.resize(tenants.size());
    for (const ProblemTenant& tenant : tenants) unfinished_ += tenant.nodes.empty() ? 0 : 1;
    for (std::size_t t = 0; t < tenants.size(); ++t) {
      const std::size_t count = tenants[t].nodes.size() * at(tenants[t].repeat);
      draft_.tenants[t].nodes.resize(count);
      tenants_[t].is_done = count == 0;
      for (std::size_t slot = 0; slot < count; ++slot) {
        tenants_[t].left_ms += way(static_cast<int>(t), static_cast<int>(slot)).length_ms;
      }
    }
    cores_.resize(at(owner_.num_cores_));
    while (unfinished_ > 0) place_next();
    if (genome_.is_pinned) {
      std::sort(draft_.syncs.begin(), draft_.syncs.end());
      draft_.syncs.erase(std::unique(draft_.syncs.begin(), draft_.syncs.end()), draft_.syncs.end());
    } else {
      draft_.syncs.clear();
    }
    return std::move(draft_);
  }

 private:
  struct TenantState {
    int slot = 0;
    double ready_ms = 0;
    double left_ms = 0;
    bool is_done = false;
  };
  struct CoreState {
    double free_ms = 0;
    int tenant = -1;  ///< that ran last
    PieceRef last;
  };

  int node_of(int tenant, int slot) const {
    return slot % static_cast<int>(owner_.problem_.tenants[at(tenant)].nodes.size());
  }

  /// The mode that the genome asks for, or one that the node can take.
  NodeMode mode(int tenant, int slot) const {
    const int node = node_of(tenant, slot);
    NodeMode wanted = genome_.modes[at(tenant)][at(node)];
    if (wanted == NodeMode::kSplit && !may_split_) wanted = NodeMode::kAll;
    if (owner_.can(tenant, node, wanted)) return wanted;
    const NodeMode gang = owner_.best_gang(tenant, node, may_split_);
    return owner_.can(tenant, node, gang) ? gang : NodeMode::kOne;
  }

  const Way& way(int tenant, int slot) const {
    return owner_.ways(tenant, node_of(tenant, slot), genome_.blend).ways[at(mode(tenant, slot))];
  }

  /// The genome's way; or, for the last tenant, all cores when it is done sooner with them.
  const Way& way_at_end(int tenant, int slot, int core) const {
    const Way& own = way(tenant, slot);
    if (unfinished_ > 1 || own.pieces.size() != 1 || own.pieces[0].row->width != 1) return own;
    const int node = node_of(tenant, slot);
    const NodeMode gang = owner_.best_gang(tenant, node, may_split_);
    if (gang == NodeMode::kOne || !owner_.can(tenant, node, gang)) return own;
    const Way& wide = owner_.ways(tenant, node, genome_.blend).ways[at(gang)];
    double all_free = tenants_[at(tenant)].ready_ms;
    const double one_free = std::max(all_free, cores_[at(core)].free_ms);
    for (const CoreState& other : cores_) all_free = std::max(all_free, other.free_ms);
    return all_free + wide.length_ms < one_free + own.length_ms ? wide : own;
  }

  double weight(int tenant) const {
    return tenants_[at(tenant)].left_ms * genome_.bias[at(tenant)];
  }

  int priority(int tenant) const { return owner_.problem_.tenants[at(tenant)].priority; }
  bool comes_before(int a, int b) const {
    return priority(a) != priority(b) ? priority(a) > priority(b) : weight(a) > weight(b);
  }

  /// The tenant that a core free at `now` should run, or -1 when none is ready.
  int choose_tenant(int core, double now) const {
    int best = -1;
    for (int t = 0; t < static_cast<int>(tenants_.size()); ++t) {
      if (tenants_[at(t)].is_done || tenants_[at(t)].ready_ms > now + 1e-12) continue;
      if (best < 0 || comes_before(t, best)) best = t;
    }
    const int current = cores_[at(core)].tenant;
    if (best < 0 || current < 0 || current == best || tenants_[at(current)].is_done ||
        tenants_[at(current)].ready_ms > now + 1e-12 || priority(current) != priority(best)) {
      return best;
    }
    return weight(current) * (1 + genome_.stickiness) >= weight(best) ? current : best;
  }

  void place_next() {
    int core = 0;
    for (int c = 1; c < static_cast<int>(cores_.size()); ++c) {
      if (cores_[at(c)].free_ms < cores_[at(core)].free_ms) core = c;
    }
    const double now = cores_[at(core)].free_ms;
    const int tenant = choose_tenant(core, now);
    if (tenant < 0) {
      double next = 1e300;
      for (const TenantState& state : tenants_) {
        if (!state.is_done) next = std::min(next, state.ready_ms);
      }
      cores_[at(core)].free_ms = next;
      return;
    }
    place(tenant, core);
  }

  void place(int tenant, int core) {
    TenantState& state = tenants_[at(tenant)];
    const Way& chosen = way_at_end(tenant, state.slot, core);
    const bool is_single = chosen.pieces.size() == 1 && chosen.pieces[0].row->width == 1;
    NodeDraft& node = draft_.tenants[at(tenant)].nodes[at(state.slot)];
    node.pieces = chosen.pieces;
    for (Piece& piece : node.pieces) {
      piece.priority = base_priority(owner_.problem_.tenants[at(tenant)]);
    }
    if (is_single) node.pieces[0].budget = {core, core + 1};
    double start = state.ready_ms;
    for (const Piece& piece : node.pieces) {
      for (int c = piece.budget.begin; c < piece.budget.end; ++c) {
        start = std::max(start, cores_[at(c)].free_ms);
      }
    }
    const double end = start + chosen.length_ms;
    for (std::size_t p = 0; p < node.pieces.size(); ++p) {
      const PieceRef ref{tenant, state.slot, static_cast<int>(p)};
      const Budget& budget = node.pieces[p].budget;
      for (int c = budget.begin; c < budget.end; ++c) {
        CoreState& taken = cores_[at(c)];
        if (taken.tenant >= 0 && taken.tenant != tenant) {
          draft_.syncs.push_back({taken.last, ref, -1});
        }
        taken = {end, tenant, ref};
      }
    }
    state.ready_ms = end;
    state.left_ms -= chosen.length_ms;
    ++state.slot;
    if (at(state.slot) == draft_.tenants[at(tenant)].nodes.size()) {
      state.is_done = true;
      --unfinished_;
    }
  }

  const GangScheduler& owner_;
  const GangGenome& genome_;
  bool may_split_;
  Draft draft_;
  std::vector<TenantState> tenants_;
  std::vector<CoreState> cores_;
  int unfinished_ = 0;
};

Draft GangScheduler::schedule(const GangGenome& genome, bool may_split) const {
  return Run(*this, genome, may_split).make();
}

}  // namespace gacer
