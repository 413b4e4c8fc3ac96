#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <gacer/device_info.h>
#include <gacer/plan.h>

namespace gacer {

/// Bytes that a node touches in its tenant's memory. With item_bytes > 0, batch item i owns
/// [offset + i*item_bytes, offset + (i+1)*item_bytes); otherwise (batch axis is not the outermost,
/// or no batch) every chunk counts as touching the whole range, except that two disjoint chunks of
/// the *same value* never conflict.
struct Access {
  int value = 0;
  std::int64_t offset = 0;
  std::int64_t bytes = 0;
  std::int64_t item_bytes = 0;
  /// False: the same for every batch item although the node is split (a broadcast operand).
  bool is_batched = true;
  bool is_write = false;
};

/// An edge of data: `node` reads what `from` wrote. Chunk-wise edges connect equal ranges of items;
/// others need the producer whole.
struct DataEdge {
  int from = 0;
  bool is_chunkwise = false;
};

/// A node as the planner sees it.
struct ProblemNode {
  std::string name;  ///< of its first output
  std::string op;
  std::string signature;        ///< row_signature(): rows are found by it
  std::int64_t batch = 1;       ///< items; 1 when it cannot be split
  std::string no_split_reason;  ///< empty when batch > 1 or split is possible
  std::vector<DataEdge> inputs;
  std::vector<Access> accesses;
  double flop = 0;
  double bytes = 0;
  bool is_splittable() const { return no_split_reason.empty() && batch > 1; }
};

struct ProblemTenant {
  PlanTenant identity;
  double weight = 1;
  int priority = 0;
  int repeat = 1;
  double latency_target_ms = 0;    ///< 0: none
  std::vector<ProblemNode> nodes;  ///< in execution order
};

/// All that planning needs to know, without a device and without a graph. A plain value.
struct Problem {
  DeviceInfo device;
  /// Variant keys are tied to the budget's size (CPU threads).
  bool is_width_fixed = false;
  std::vector<ProblemTenant> tenants;
};

/// Chunk sizes of a node that are worth measuring, largest (the whole batch) first: halves,
/// quarters and eighths. Searches cut a node only into sizes that have rows.
std::vector<std::int64_t> chunk_sizes(const ProblemNode& node);

}  // namespace gacer
