#include "engine/placed_tenant.h"

#include <algorithm>
#include <set>
#include <span>

#include "base/error.h"
#include "onnx/reader.h"
#include "ops/op_def.h"
#include "passes/pass.h"
#include "zoo/zoo.h"

namespace gacer {
namespace {

constexpr std::string_view kZooPrefix = "zoo:";

bool is_zoo(const TenantSpec& spec) { return spec.model.starts_with(kZooPrefix); }

std::string model_key(const TenantSpec& spec) {
  std::string key = fmt::format("{}@{}", spec.model, spec.batch);
  for (const auto& [name, size] : spec.dims) key += fmt::format("|{}={}", name, size);
  return key;
}

/// Why no kernel takes a call, or yes.
Result<void> find_kernel(const Device& device, const KernelCall& call, bool with_fallback) {
  std::string reasons;
  for (const KernelImpl* impl : device.kernels()) {
    if (impl->is_fallback() && !with_fallback) continue;
    const Result<void> supported = impl->supports(call);
    if (supported) return {};
    reasons +=
        fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", impl->name(), supported.reason());
  }
  return Refusal{reasons.empty() ? "the device has no kernels" : reasons};
}

/// Error{kUnsupported} with every node that cannot run.
void require_kernels(const Device& device, Precision precision, const Graph& graph) {
  constexpr int kMaxListed = 10;
  std::string list;
  int count = 0;
  for (NodeId id = 0; id < graph.num_nodes(); ++id) {
    const Result<void> found =
        find_kernel(device, make_call(graph, id, precision), /*with_fallback=*/true);
    if (found) continue;
    if (++count <= kMaxListed)
      list += fmt::format("\n  node '{}' ({}): {}", graph.node(id).name, graph.node(id).op,
                          found.reason());
  }
  if (count > kMaxListed) list += fmt::format("\n  and {} more", count - kMaxListed);
  if (count > 0)
    fail(ErrorKind::kUnsupported, "{} of {} nodes have no kernel on {} in {}:{}", count,
         graph.num_nodes(), device.info().kind, to_string(precision), list);
}

void require_precision(const Device& device, Precision precision, const Graph& graph) {
  if (precision == Precision::kF32) return;
  if (device.info().kind == "cpu" && precision == Precision::kTF32)
    fail(ErrorKind::kUnsupported, "tf32 is a format of NVIDIA tensor cores; the CPU runs f32");
  if (precision == Precision::kTF32) return;
  const DType wanted = precision == Precision::kF16 ? DType::kF16 : DType::kBF16;
  for (const Value& value : graph.values())
    if (!value.constant && value.dtype == wanted) return;
  fail(ErrorKind::kUnsupported,
       "no value of the model became {}: this version cannot run it in {} on {}; use f32",
       to_string(wanted), to_string(precision), device.info().kind);
}

std::int64_t weights_bytes(const Graph& graph) {
  std::set<const std::byte*> seen;
  std::int64_t bytes = 0;
  for (const Value& value : graph.values())
    if (value.constant && seen.insert(value.constant->bytes()).second)
      bytes += static_cast<std::int64_t>(value.constant->size_bytes());
  return bytes;
}

}  // namespace

Graph ModelLoader::read(const TenantSpec& spec) const {
  if (!is_zoo(spec)) return read_onnx(spec.model, {spec.batch, spec.dims});
  if (!spec.dims.empty())
    fail(ErrorKind::kUsage, "{} has no dimension '{}' to set; zoo models have a batch only",
         spec.model, spec.dims.begin()->first);
  return build_zoo_model(spec.model.substr(kZooPrefix.size()), spec.batch);
}

const LoadedModel& ModelLoader::adopt(const std::string& key, Graph graph) {
  require(!models_.contains(key), "model '{}' is already loaded", key);
  PassOptions options;
  options.precision = precision_;
  options.image_layout = device_.image_layout(precision_);
  options.concats_in_place = device_.concats_in_place();
  options.is_supported = [this](const Graph& candidate, NodeId node) {
    const KernelCall call = make_call(candidate, node, precision_);
    return find_kernel(device_, call, /*with_fallback=*/false).ok();
  };
  options.disabled = disabled_passes_;
  LoadedModel model{key, nullptr, run_passes(graph, options)};
  require_precision(device_, precision_, graph);
  require_kernels(device_, precision_, graph);
  model.graph = std::make_shared<const Graph>(std::move(graph));
  return models_.emplace(key, std::move(model)).first->second;
}

void require_valid(const TenantSpec& spec) {
  if (spec.mode == TenantMode::kTrain)
    fail(ErrorKind::kUnsupported, "'{}': training is not built in this version", spec.model);
  if (spec.batch < 1 || spec.repeat < 1 || !(spec.weight > 0))
    fail(ErrorKind::kUsage, "'{}': batch {}, repeat {} and weight {} must be positive", spec.model,
         spec.batch, spec.repeat, spec.weight);
}

const LoadedModel& ModelLoader::load(const TenantSpec& spec) {
  require_valid(spec);
  const std::string key = model_key(spec);
  if (const auto found = models_.find(key); found != models_.end()) return found->second;
  try {
    return adopt(key, read(spec));
  } catch (Error& error) {
    const bool is_named = std::string_view(error.what()).find(spec.model) != std::string_view::npos;
    if (!is_named) error.add_context(fmt::format("model '{}'", spec.model));
    throw;
  }
}

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
  if (base.empty() && is_zoo(spec)) base = spec.model.substr(kZooPrefix.size());
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
