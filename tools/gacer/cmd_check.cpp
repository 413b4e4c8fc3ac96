#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <gacer/tenant.h>

#include "base/error.h"
#include "base/precision.h"
#include "device/device.h"
#include "engine/placed_tenant.h"
#include "onnx/reader.h"
#include "ops/op_def.h"
#include "report/table.h"
#include "tools/gacer/command.h"
#include "tools/gacer/options.h"

namespace gacer::cli {
namespace {

constexpr const char* kFooter = R"(
Lists each operator that cannot be run, with the reason; then, when the shapes are known, each node after
optimisation with the kernels that take it and whether it may be cut along the batch. Memory is not looked at.

Examples
  gacer check model.onnx
  gacer check 'det.onnx@2?H=640&W=640' -v)";

void print_info(const std::string& path) {
  const ModelInfo info = read_model_info(path);
  fmt::print("{}: opset {}, IR {}{}\n", path, info.opset, info.ir_version,
             info.producer.empty() ? "" : ", by " + info.producer);
  const auto print_ports = [](const char* what, const std::vector<ModelInfo::Port>& ports) {
    for (const ModelInfo::Port& port : ports)
      fmt::print("  {} '{}' {} [{}]\n", what, port.name, to_string(port.dtype),
                 fmt::join(port.dims, ", "));
  };
  print_ports("input", info.inputs);
  print_ports("output", info.outputs);
}

/// Whether every operator is known; prints those that are not.
bool check_file(const std::string& path, bool is_verbose) {
  const std::vector<OperatorReport> nodes = check_operators(path);
  TextTable table;
  for (const char* title : {"node", "operator", "supported"}) table.add_column(title);
  std::size_t unsupported = 0;
  for (const OperatorReport& node : nodes) {
    const bool is_supported = node.reason.empty();
    if (!is_supported) ++unsupported;
    if (!is_supported || is_verbose)
      table.add_row({node.node, node.op, is_supported ? "yes" : node.reason},
                    is_supported ? TextTable::Style::kPlain : TextTable::Style::kBad);
  }
  if (unsupported > 0 || is_verbose) fmt::print("{}", table.to_text(wants_color(STDOUT_FILENO)));
  fmt::print("{} of {} nodes have a supported operator\n", nodes.size() - unsupported,
             nodes.size());
  return unsupported == 0;
}

std::string kernels_for(const Device& device, const Graph& graph, NodeId node,
                        Precision precision) {
  const KernelCall call = make_call(graph, node, precision);
  std::string names;
  for (const KernelImpl* kernel : device.kernels())
    if (kernel->supports(call).ok())
      names += fmt::format("{}{}", names.empty() ? "" : ", ", kernel->name());
  return names;
}

/// Loads the model as a run would (errors list what no kernel takes) and prints its nodes.
void check_kernels(const TenantSpec& spec, const Options& options) {
  const auto precision = parse_precision(options.precision);
  require(precision.has_value(), "precision '{}' passed the command line", options.precision);
  const std::unique_ptr<Device> device =
      open_device(options.device, options.engine().device_options);
  ModelLoader loader(*device, *precision, options.disabled_passes);
  const Graph& graph = *loader.load(spec).graph;
  TextTable table;
  for (const char* title : {"node", "operator", "output", "along the batch", "kernels"})
    table.add_column(title);
  int splittable = 0;
  for (NodeId id = 0; id < graph.num_nodes(); ++id) {
    const Node& node = graph.node(id);
    const Value& output = graph.value(node.outputs.front());
    const Result<void> split = is_splittable(graph, id);
    if (split.ok()) ++splittable;
    table.add_row({output.name, node.op,
                   fmt::format("{} {}", to_string(output.dtype), output.shape.to_string()),
                   split.ok() ? "can be cut" : split.reason(),
                   kernels_for(*device, graph, id, *precision)});
  }
  if (options.is_verbose) fmt::print("\n{}", table.to_text(wants_color(STDOUT_FILENO)));
  fmt::print("{} nodes after optimisation run on {}; {} can be cut along the batch\n",
             graph.num_nodes(), device->info().name, splittable);
}

int check(const Options& options) {
  for (const std::string& model : options.models) {
    const TenantSpec spec = TenantSpec::parse(model);
    if (!spec.model.starts_with("zoo:")) {
      print_info(spec.model);
      if (!check_file(spec.model, options.is_verbose))
        fail(ErrorKind::kUnsupported, "'{}' has operators that cannot be run, listed above",
             spec.model);
    }
    check_kernels(spec, options);
  }
  return 0;
}

}  // namespace

void add_check_command(const Command& app, Invocation& invocation) {
  const Command command = app.add_command("check", "Say whether and how a model can be run");
  auto options = std::make_shared<Options>();
  add_models(command, *options);
  add_engine_options(command, *options);
  add_verbosity_options(command, *options);
  command.footer(kFooter);
  command.callback(
      [options, &invocation] { invocation.action = [options] { return check(*options); }; });
}

}  // namespace gacer::cli
