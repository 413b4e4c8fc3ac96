#include "backend/sim/sim_kernel.h"

#include <algorithm>

#include "base/error.h"

namespace gacer::sim {
namespace {

NodeId id_of(const KernelCall& call) {
  const std::vector<Node>& nodes = call.graph.nodes();
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (&nodes[i] == &call.node) return static_cast<NodeId>(i);
  }
  fail(ErrorKind::kInternal, "node '{}' is not of the call's graph", call.node.name);
}

/// Batch items of the call: those of the first output that has a batch axis.
std::int64_t items_of(const KernelCall& call) {
  for (std::size_t i = 0; i < call.node.outputs.size(); ++i) {
    if (call.node.outputs[i] == kNone) continue;
    const auto& batch = call.graph.value(call.node.outputs[i]).batch;
    if (batch) return call.outputs[i].shape[batch->axis] / batch->factor;
  }
  return 1;
}

bool is_recorded(const ProfileTable& rows, const std::string& signature, std::int64_t items) {
  return rows.has(signature, items) || rows.has(signature, 1);
}

}  // namespace

Result<void> SimKernels::supports(const KernelCall& call) const {
  const NodeId id = id_of(call);
  const std::int64_t items = items_of(call);
  if (call.node.post.empty() ||
      is_recorded(recording_->rows, op_signature(call.graph, id), items)) {
    return {};
  }
  Graph graph = call.graph;
  Node& node = graph.node(id);
  if (node.post.back().input != kNone &&
      node.post.back().input + 1 == static_cast<int>(node.inputs.size())) {
    node.inputs.pop_back();
  }
  node.post.pop_back();
  if (is_recorded(recording_->rows, op_signature(graph, id), items)) {
    return refuse("the recorded device ran '{}' without its last post-operation", call.node.name);
  }
  return {};
}

std::vector<std::string> SimKernels::variants(const KernelCall& call, int width) const {
  const std::string signature = op_signature(call.graph, id_of(call));
  // A node that cannot be split has rows of one item, whatever its outputs look like.
  auto rows = recording_->rows.rows(signature, items_of(call));
  if (rows.empty()) rows = recording_->rows.rows(signature, 1);
  std::vector<std::string> keys;
  for (const ProfileRow& row : rows) {
    if (recording_->is_width_fixed && row.width != width) continue;
    if (std::find(keys.begin(), keys.end(), row.variant) == keys.end()) keys.push_back(row.variant);
  }
  return keys;
}

std::unique_ptr<Kernel> SimKernels::prepare(const KernelCall& call, const std::string& key) const {
  const std::string signature = op_signature(call.graph, id_of(call));
  for (const std::int64_t items : {items_of(call), std::int64_t{1}}) {
    for (const ProfileRow& row : recording_->rows.rows(signature, items)) {
      if (row.variant != key) continue;
      return std::make_unique<SimKernel>(signature, items, key, row.workspace_bytes, row.launches);
    }
  }
  fail(ErrorKind::kUnsupported, "the recording of {} has no variant '{}' for node '{}' ({})",
       recording_->device.name, key, call.node.name, signature);
}

}  // namespace gacer::sim
