#include "engine/make_problem.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "ops/common.h"
#include "ops/op_def.h"

namespace gacer {
namespace {

const std::string& first_output_name(const Graph& graph, NodeId node) {
  for (const ValueId output : graph.node(node).outputs)
    if (output != kNone) return graph.value(output).name;
  fail(ErrorKind::kInternal, "node '{}' has no outputs", graph.node(node).name);
}

/// Whether two values share elements: the same, a part or a view and its root, or overlapping
/// parts.
bool share_elements(const Graph& graph, ValueId a, ValueId b) {
  if (a == b) return true;
  if (graph.root_of(a) != graph.root_of(b)) return false;
  const Value& va = graph.value(a);
  const Value& vb = graph.value(b);
  if (!va.slice_of || !vb.slice_of || va.slice_of->axis != vb.slice_of->axis) return true;
  const int axis = va.slice_of->axis;
  return va.slice_of->offset < vb.slice_of->offset + vb.shape[axis] &&
         vb.slice_of->offset < va.slice_of->offset + va.shape[axis];
}

/// Whether each item of a value that fills its root lies in one piece, in their order.
bool has_items_in_order(const Graph& graph, ValueId id) {
  const Value& value = graph.value(id);
  return !value.slice_of && value.batch && lies_in_order(value) &&
         product(value.shape, 0, value.batch->axis) == 1;
}

/// Whether item i of one value is item i of the other.
bool has_same_items(const Graph& graph, ValueId a, ValueId b) {
  const auto cuts_batch = [&](ValueId id) {
    const Value& value = graph.value(id);
    return value.slice_of && value.batch && value.slice_of->axis == value.batch->axis;
  };
  const Value& va = graph.value(a);
  const Value& vb = graph.value(b);
  if (!va.batch || !vb.batch) return false;
  if (va.view_of != kNone || vb.view_of != kNone)
    return a == b || (has_items_in_order(graph, a) && has_items_in_order(graph, b));
  return a == b || (*va.batch == *vb.batch && !cuts_batch(a) && !cuts_batch(b));
}

class TenantProblem {
 public:
  explicit TenantProblem(const PlacedTenant& tenant) : tenant_(tenant), graph_(tenant.graph()) {
    for (NodeId node = 0; node < graph_.num_nodes(); ++node)
      for (const ValueId output : graph_.node(node).outputs)
        if (output != kNone) writes_[graph_.root_of(output)].push_back({node, output});
  }

  ProblemTenant make() const {
    ProblemTenant result;
    PlanTenant& identity = result.identity;
    identity.name = tenant_.info.name;
    identity.model = tenant_.info.model;
    identity.mode = tenant_.info.mode;
    identity.precision = tenant_.info.precision;
    identity.batch = tenant_.info.batch;
    identity.dims = tenant_.spec.dims;
    identity.priority = tenant_.spec.priority;
    identity.repeat = tenant_.spec.repeat;
    identity.fingerprint = fingerprint(graph_);
    result.weight = tenant_.spec.weight;
    result.priority = tenant_.spec.priority;
    result.repeat = tenant_.spec.repeat;
    result.latency_target_ms = tenant_.spec.latency_target_ms;
    for (NodeId node = 0; node < graph_.num_nodes(); ++node) {
      result.nodes.push_back(make_node(node));
      identity.node_names.push_back(result.nodes.back().name);
      identity.node_signatures.push_back(result.nodes.back().signature);
    }
    return result;
  }

 private:
  struct Write {
    NodeId node = 0;
    ValueId value = 0;
  };

  bool can_split(NodeId node) const {
    return tenant_.is_splittable[static_cast<std::size_t>(node)];
  }

  ProblemNode make_node(NodeId id) const {
    ProblemNode node;
    node.name = first_output_name(graph_, id);
    node.op = graph_.node(id).op;
    node.signature = row_signature(graph_, id, tenant_.precision);
    if (can_split(id))
      node.batch = graph_.batch;
    else
      node.no_split_reason = is_splittable(graph_, id).reason();
    const Cost cost = cost_of(graph_, id);
    node.flop = cost.flop;
    node.bytes = cost.bytes;
    node.inputs = find_edges(id);
    for (const ValueId input : graph_.node(id).inputs) add_access(node, id, input, false);
    for (const ValueId output : graph_.node(id).outputs) add_access(node, id, output, true);
    return node;
  }

  std::vector<DataEdge> find_edges(NodeId id) const {
    std::map<int, bool> edges;  // producer → chunk-wise so far
    for (const ValueId input : graph_.node(id).inputs) {
      if (input == kNone) continue;
      const auto writes = writes_.find(graph_.root_of(input));
      if (writes == writes_.end()) continue;
      for (const Write& write : writes->second) {
        if (write.node >= id || !share_elements(graph_, write.value, input)) continue;
        const bool is_chunkwise =
            can_split(id) && can_split(write.node) && has_same_items(graph_, write.value, input);
        const auto [edge, is_new] = edges.emplace(write.node, is_chunkwise);
        if (!is_new) edge->second = edge->second && is_chunkwise;
      }
    }
    std::vector<DataEdge> result;
    for (const auto& [from, is_chunkwise] : edges) result.push_back({from, is_chunkwise});
    return result;
  }

  void add_access(ProblemNode& node, NodeId id, ValueId value_id, bool is_write) const {
    if (value_id == kNone) return;
    const ValueId root = graph_.root_of(value_id);
    if (graph_.is_constant(value_id) || graph_.is_constant(root)) return;
    const Value& value = graph_.value(value_id);
    const std::vector<std::int64_t> strides = value_strides(graph_, value_id);
    // A part that lies in one piece is exact; one that is spread over its root counts as all of it.
    const bool is_dense = has_dense_strides(value.shape, value.layout, strides);
    Access access;
    access.value = is_dense ? value_id : root;
    access.offset = tenant_.arena_plan.offsets[static_cast<std::size_t>(access.value)];
    access.bytes = value_bytes(graph_.value(access.value));
    access.is_write = is_write;
    access.is_batched = can_split(id) && value.batch.has_value();
    if (access.is_batched && value.batch->axis == 0) {
      const std::int64_t item =
          value.batch->factor * strides[0] * static_cast<std::int64_t>(size_of(value.dtype));
      if (item * graph_.batch == access.bytes) access.item_bytes = item;
    }
    node.accesses.push_back(access);
  }

  const PlacedTenant& tenant_;
  const Graph& graph_;
  std::map<ValueId, std::vector<Write>> writes_;  // by root
};

}  // namespace

ProblemTenant make_problem_tenant(const PlacedTenant& tenant) {
  return TenantProblem(tenant).make();
}

}  // namespace gacer
