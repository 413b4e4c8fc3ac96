#include "engine/arena.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "device/kernel.h"

namespace gacer {
namespace {

constexpr int kForever = std::numeric_limits<int>::max();

/// Execution positions between which a root's bytes hold something.
struct Life {
  int begin = kForever;
  int end = -1;
  void include(int position) {
    begin = std::min(begin, position);
    end = std::max(end, position);
  }
  bool is_used() const { return begin <= end; }
  bool overlaps(const Life& other) const { return begin <= other.end && other.begin <= end; }
};

std::vector<Life> find_lives(const Graph& graph) {
  std::vector<Life> lives(static_cast<std::size_t>(graph.num_values()));
  const auto touch = [&](ValueId id, int position) {
    if (id == kNone || graph.is_constant(graph.root_of(id))) return;
    lives[static_cast<std::size_t>(graph.root_of(id))].include(position);
  };
  for (NodeId node = 0; node < graph.num_nodes(); ++node) {
    for (const ValueId input : graph.node(node).inputs) touch(input, node);
    for (const ValueId output : graph.node(node).outputs) touch(output, node);
  }
  for (const ValueId input : graph.inputs) {
    touch(input, -1);
    touch(input, kForever);
  }
  for (const ValueId output : graph.outputs) touch(output, kForever);
  return lives;
}

std::int64_t align(std::int64_t bytes) {
  return (bytes + ArenaPlan::kAlignment - 1) / ArenaPlan::kAlignment * ArenaPlan::kAlignment;
}

struct Block {
  ValueId value = kNone;
  Life life;
  std::int64_t bytes = 0;
  std::int64_t offset = 0;
};

/// The smallest gap between `taken` (by offset) that holds `bytes`, else the place after them.
std::int64_t best_fit(const std::vector<const Block*>& taken, std::int64_t bytes) {
  std::int64_t best = -1;
  std::int64_t best_gap = std::numeric_limits<std::int64_t>::max();
  std::int64_t end = 0;
  for (const Block* block : taken) {
    const std::int64_t gap = block->offset - end;
    if (gap >= bytes && gap < best_gap) {
      best = end;
      best_gap = gap;
    }
    end = std::max(end, block->offset + block->bytes);
  }
  return best >= 0 ? best : end;
}

/// Largest first: big blocks leave gaps that small ones fill.
void place(std::vector<Block>& blocks) {
  std::vector<std::size_t> order(blocks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](auto a, auto b) { return blocks[a].bytes > blocks[b].bytes; });
  std::vector<const Block*> placed;  // by offset
  for (const std::size_t i : order) {
    Block& block = blocks[i];
    std::vector<const Block*> taken;
    for (const Block* other : placed)
      if (other->life.overlaps(block.life)) taken.push_back(other);
    block.offset = best_fit(taken, block.bytes);
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), &block,
                         [](const Block* a, const Block* b) { return a->offset < b->offset; }),
        &block);
  }
}

}  // namespace

std::int64_t value_bytes(const Value& value) {
  return static_cast<std::int64_t>(bytes_in_layout(value.dtype, value.shape, value.layout));
}

ArenaPlan plan_arena(const Graph& graph) {
  const std::vector<Life> lives = find_lives(graph);
  std::vector<Block> blocks;
  for (ValueId id = 0; id < graph.num_values(); ++id) {
    const Life& life = lives[static_cast<std::size_t>(id)];
    if (!life.is_used()) continue;
    // An empty tensor still has an address of its own.
    const std::int64_t bytes = std::max<std::int64_t>(value_bytes(graph.value(id)), 1);
    blocks.push_back({id, life, align(bytes), 0});
  }
  place(blocks);

  ArenaPlan plan;
  plan.offsets.assign(static_cast<std::size_t>(graph.num_values()), -1);
  for (const Block& block : blocks) {
    plan.offsets[static_cast<std::size_t>(block.value)] = block.offset;
    plan.bytes = std::max(plan.bytes, block.offset + block.bytes);
  }
  for (ValueId id = 0; id < graph.num_values(); ++id) {
    const std::int64_t root = plan.offsets[static_cast<std::size_t>(graph.root_of(id))];
    if (graph.root_of(id) != id && root >= 0)
      plan.offsets[static_cast<std::size_t>(id)] =
          root + static_cast<std::int64_t>(chunk_offset_bytes(graph, id, 0));
  }
  return plan;
}

}  // namespace gacer
