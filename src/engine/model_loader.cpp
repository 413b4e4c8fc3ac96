#include "engine/model_loader.h"

#include <exception>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "onnx/reader.h"
#include "ops/op_def.h"
#include "passes/pass.h"
#include "zoo/zoo.h"

namespace gacer {
namespace {

constexpr std::string_view kZooPrefix = "zoo:";

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
  const DType wanted = float_type(precision);
  for (const Value& value : graph.values())
    if (!value.constant && value.dtype == wanted) return;
  fail(ErrorKind::kUnsupported,
       "no value of the model became {}: this version cannot run it in {} on {}; use f32",
       to_string(wanted), to_string(precision), device.info().kind);
}

/// A model as it is before all passes.
Graph read_model(const TenantSpec& spec) {
  const std::optional<std::string> name = zoo_name(spec);
  if (!name) return read_onnx(spec.model, {spec.batch, spec.dims});
  if (!spec.dims.empty())
    fail(ErrorKind::kUsage, "{} has no dimension '{}' to set; zoo models have a batch only",
         spec.model, spec.dims.begin()->first);
  return build_zoo_model(*name, spec.batch);
}

}  // namespace

std::optional<std::string> zoo_name(const TenantSpec& spec) {
  if (!spec.model.starts_with(kZooPrefix)) return std::nullopt;
  return spec.model.substr(kZooPrefix.size());
}

ModelReader::ModelReader(std::span<const TenantSpec> ahead) {
  struct Task {
    TenantSpec spec;
    std::promise<std::optional<Graph>> promise;
  };
  std::vector<Task> tasks;
  for (const TenantSpec& spec : ahead) {
    std::future<std::optional<Graph>>& begun = begun_[model_key(spec)];
    if (begun.valid()) continue;
    begun = tasks.emplace_back(Task{spec, {}}).promise.get_future();
  }
  if (tasks.empty()) return;
  thread_ = std::jthread([tasks = std::move(tasks)](const std::stop_token& stop) mutable {
    for (Task& task : tasks) {
      if (stop.stop_requested()) return;
      try {
        require_valid(task.spec);
        task.promise.set_value(read_model(task.spec));
      } catch (const std::exception&) {
        task.promise.set_value(std::nullopt);  // who asks for it reads it again and meets the error
      }
    }
  });
}

Graph ModelReader::read(const TenantSpec& spec) {
  if (auto begun = begun_.extract(model_key(spec)))
    if (std::optional<Graph> graph = begun.mapped().get()) return std::move(*graph);
  return read_model(spec);
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
    return adopt(key, reader_.read(spec));
  } catch (Error& error) {
    const bool is_named = std::string_view(error.what()).find(spec.model) != std::string_view::npos;
    if (!is_named) error.add_context(fmt::format("model '{}'", spec.model));
    throw;
  }
}

}  // namespace gacer
