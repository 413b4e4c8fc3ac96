#include "search/moves.h"

#include <algorithm>

namespace gacer {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

}  // namespace

bool Moves::for_each(const NodeRun& run, Draft& draft,
                     const std::function<bool(const ProblemNode&, NodeDraft&)>& change) const {
  const auto& nodes = problem_.tenants[at(run.tenant)].nodes;
  auto& slots = draft.tenants[at(run.tenant)].nodes;
  bool has_changed = false;
  for (std::size_t slot = 0; slot < slots.size(); ++slot) {
    const int node = static_cast<int>(slot % nodes.size());
    if (node < run.begin || node >= run.end) continue;
    has_changed = change(nodes[at(node)], slots[slot]) || has_changed;
  }
  return has_changed;
}

bool Moves::blend_variants(const NodeRun& run, double blend, Draft& draft) {
  return for_each(run, draft, [&](const ProblemNode& node, NodeDraft& made) {
    bool has_changed = false;
    for (Piece& piece : made.pieces) {
      const int width = piece.budget.size(problem_.device.num_groups);
      const ProfileRow* row = options_.blended(node, piece.chunk.size(), width, blend);
      if (!row || row->variant == piece.row->variant) continue;
      piece.row = row;
      has_changed = true;
    }
    return has_changed;
  });
}

bool Moves::set_signature_variant(const std::string& signature, std::size_t choice, Draft& draft) {
  bool has_changed = false;
  for (int t = 0; t < static_cast<int>(problem_.tenants.size()); ++t) {
    const auto change = [&](const ProblemNode& node, NodeDraft& made) {
      if (node.signature != signature) return false;
      bool is_other = false;
      for (Piece& piece : made.pieces) {
        const int width = piece.budget.size(problem_.device.num_groups);
        const auto& options = options_.find(node, piece.chunk.size(), width);
        if (choice >= options.size() || options[choice].row->variant == piece.row->variant)
          continue;
        piece.row = options[choice].row;
        is_other = true;
      }
      return is_other;
    };
    has_changed = for_each({t, 0, num_nodes(t)}, draft, change) || has_changed;
  }
  return has_changed;
}

bool Moves::set_budget(const NodeRun& run, Budget budget, Draft& draft) {
  const int width = budget.size(problem_.device.num_groups);
  return for_each(run, draft, [&](const ProblemNode& node, NodeDraft& made) {
    bool has_changed = false;
    for (Piece& piece : made.pieces) {
      // Chunks side by side have their places from the cut.
      if (piece.budget == budget || made.pieces.size() > 1) continue;
      if (problem_.is_width_fixed) {
        const auto& options = options_.find(node, piece.chunk.size(), width);
        if (options.empty()) continue;
        if (piece.budget.size(problem_.device.num_groups) != width) piece.row = options[0].row;
      }
      piece.budget = budget;
      has_changed = true;
    }
    return has_changed;
  });
}

bool Moves::set_priority(const NodeRun& run, int offset, Draft& draft) {
  const int priority = base_priority(problem_.tenants[at(run.tenant)]) + offset;
  return for_each(run, draft, [&](const ProblemNode&, NodeDraft& made) {
    bool has_changed = false;
    for (Piece& piece : made.pieces) {
      has_changed = has_changed || piece.priority != priority;
      piece.priority = priority;
    }
    return has_changed;
  });
}

bool Moves::set_chunks(const NodeRun& run, int pieces, bool side_by_side, Draft& draft) {
  const int groups = problem_.device.num_groups;
  return for_each(run, draft, [&](const ProblemNode& node, NodeDraft& made) {
    if (static_cast<int>(made.pieces.size()) == pieces || (pieces > 1 && !node.is_splittable()) ||
        pieces > node.batch || (problem_.is_width_fixed && side_by_side && pieces > groups)) {
      return false;
    }
    const Piece first = made.pieces.front();
    std::vector<Piece> cut;
    for (int i = 0; i < pieces; ++i) {
      Piece piece = first;
      piece.chunk = {node.batch * i / pieces, node.batch * (i + 1) / pieces};
      piece.lane = side_by_side ? i : 0;
      if (problem_.is_width_fixed && side_by_side && pieces > 1) {
        piece.budget = {groups * i / pieces, groups * (i + 1) / pieces};
      } else if (pieces == 1 && made.pieces.size() > 1 && made.pieces[1].lane != 0) {
        piece.budget = {0, groups};
      }
      const auto& options = options_.find(node, piece.chunk.size(), piece.budget.size(groups));
      if (options.empty()) return false;
      piece.row = options[0].row;
      for (const Option& option : options) {
        if (option.row->variant == first.row->variant) piece.row = option.row;
      }
      cut.push_back(piece);
    }
    made.pieces = std::move(cut);
    return true;
  });
}

bool Moves::add_sync(int before, int before_node, int after, int after_node, int barrier,
                     Draft& draft) const {
  const int iterations =
      std::min(problem_.tenants[at(before)].repeat, problem_.tenants[at(after)].repeat);
  bool has_changed = false;
  for (int i = 0; i < iterations; ++i) {
    const DraftSync sync{{before, i * num_nodes(before) + before_node, 0},
                         {after, i * num_nodes(after) + after_node, 0},
                         barrier};
    if (std::find(draft.syncs.begin(), draft.syncs.end(), sync) != draft.syncs.end()) continue;
    draft.syncs.push_back(sync);
    has_changed = true;
  }
  return has_changed;
}

}  // namespace gacer
