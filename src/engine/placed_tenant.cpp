#include "engine/placed_tenant.h"

#include <algorithm>
#include <set>
#include <span>

#include "base/error.h"
#include "ops/op_def.h"

namespace gacer {
namespace {

std::int64_t weights_bytes(const Graph& graph) {
  std::set<const std::byte*> seen;
  std::int64_t bytes = 0;
  for (const Value& value : graph.values())
    if (value.constant && seen.insert(value.constant->bytes()).second)
      bytes += static_cast<std::int64_t>(value.constant->size_bytes());
  return bytes;
}

}  // namespace

bool uses_host_memory(const Device& device) { return device.info().kind != "cuda"; }

void* ConstantStore::address(const Tensor& tensor) {
  if (tensor.empty()) return nullptr;
  // Kernels never write to an input.
  if (uses_host_memory(device_)) return const_cast<std::byte*>(tensor.bytes());
  auto& copy = copies_[tensor.bytes()];
  if (!copy) {
    copy = device_.allocate(std::max<std::size_t>(tensor.size_bytes(), 1));
    device_.upload(copy->data(), tensor.bytes(), tensor.size_bytes());
  }
  return copy->data();
}

std::byte* PlacedTenant::storage(ValueId id) const {
  const std::int64_t offset = arena_plan.offsets[static_cast<std::size_t>(graph().root_of(id))];
  require(offset >= 0, "value '{}' of '{}' has no place in the arena", graph().value(id).name,
          info.name);
  return static_cast<std::byte*>(arena->data()) + offset;
}

std::optional<ChunkRange> PlacedTenant::chunk_range(NodeId node, const Chunk& chunk) const {
  if (!is_splittable[static_cast<std::size_t>(node)]) return std::nullopt;
  return ChunkRange{chunk.begin, chunk.end};
}

/// Weights reach the device when kernels are built: a tenant whose weights will not fit beside
/// those of the tenants before it is refused before anything is placed.
static void require_room(const Device& device, const LoadedModel& model, const TenantInfo& info,
                         std::span<const std::unique_ptr<PlacedTenant>> others) {
  std::set<std::string> models;
  std::int64_t taken = 0;
  for (const auto& other : others) {
    taken += other->info.arena_bytes;
    if (models.insert(other->model.key).second) taken += other->info.weights_bytes;
  }
  const std::int64_t weights = models.contains(model.key) ? 0 : info.weights_bytes;
  const std::int64_t needed = weights + info.arena_bytes;
  const auto total = static_cast<std::int64_t>(device.free_bytes() + device.allocated_bytes());
  if (needed <= total - taken) return;
  fail(
      ErrorKind::kOutOfMemory,
      "tenant '{}' needs {} bytes (weights {}, activations {}), {} bytes are free on {} beside the "
      "other tenants' {}; lower its batch",
      info.name, needed, weights, info.arena_bytes, std::max<std::int64_t>(0, total - taken),
      device.info().name, taken);
}

PlacedTenant place_tenant(Device& device, Precision precision, const TenantSpec& spec,
                          const LoadedModel& model,
                          std::span<const std::unique_ptr<PlacedTenant>> others) {
  PlacedTenant tenant;
  tenant.spec = spec;
  tenant.precision = precision;
  tenant.model = model;
  const Graph& graph = tenant.graph();
  tenant.arena_plan = plan_arena(graph);
  for (NodeId id = 0; id < graph.num_nodes(); ++id)
    tenant.is_splittable.push_back(is_splittable(graph, id).ok());

  TenantInfo& info = tenant.info;
  info.name = spec.name;
  info.model = spec.model;
  info.mode = "infer";
  info.precision = to_string(precision);
  info.batch = spec.batch;
  info.weights_bytes = weights_bytes(graph);
  info.arena_bytes = tenant.arena_plan.bytes;
  info.nodes = graph.num_nodes();
  const std::int64_t needed = info.weights_bytes + info.arena_bytes;
  if (spec.memory_limit_bytes > 0 && needed > spec.memory_limit_bytes)
    fail(ErrorKind::kOutOfMemory,
         "tenant '{}' needs {} bytes (weights {}, activations {}) but its memory limit is {}; "
         "raise memory= or lower the batch",
         info.name, needed, info.weights_bytes, info.arena_bytes, spec.memory_limit_bytes);
  if (!uses_host_memory(device)) require_room(device, model, info, others);
  tenant.arena =
      device.allocate(static_cast<std::size_t>(std::max<std::int64_t>(tenant.arena_plan.bytes, 1)));
  return tenant;
}

std::string make_tenant_name(const TenantSpec& spec, const std::vector<TenantInfo>& taken) {
  std::string base = spec.name;
  if (base.empty()) base = zoo_name(spec).value_or("");
  if (base.empty()) {
    const std::size_t slash = spec.model.find_last_of('/');
    base = spec.model.substr(slash == std::string::npos ? 0 : slash + 1);
    if (base.ends_with(".onnx")) base.resize(base.size() - 5);
  }
  const auto is_taken = [&](const std::string& name) {
    return std::any_of(taken.begin(), taken.end(),
                       [&](const TenantInfo& info) { return info.name == name; });
  };
  std::string name = base;
  for (int i = 2; is_taken(name); ++i) name = fmt::format("{}#{}", base, i);
  return name;
}

}  // namespace gacer
