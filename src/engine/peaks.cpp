#include "engine/peaks.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/dtype.h"
#include "base/error.h"
#include "engine/arena.h"
#include "ops/op_def.h"

namespace gacer {
namespace {

constexpr std::size_t kMostVariants = 3;  // of an implementation, its best guesses
constexpr int kRepeats = 4;               // in one program
constexpr int kRuns = 3;
/// 1.06 in fp16, .0115 in f32 and bf16: sums of products stay finite.
constexpr unsigned char kNumber = 0x3C;

Graph make_graph(const std::string& op, const std::vector<Shape>& inputs, DType dtype) {
  Graph graph;
  graph.name = "peak";
  Node node;
  node.op = op;
  node.name = op;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    node.inputs.push_back(graph.add_input("x" + std::to_string(i), dtype, inputs[i]));
  node.num_op_inputs = static_cast<int>(inputs.size());
  Value result;
  result.name = "y";
  node.outputs = {graph.add_value(std::move(result))};
  graph.outputs = node.outputs;
  infer_node(graph, graph.add_node(std::move(node)));
  return graph;
}

/// Milliseconds of a call of one variant.
double time_variant(Device& device, const KernelImpl& impl, const KernelCall& call,
                    const std::string& key, Bindings bindings) {
  const std::unique_ptr<Kernel> kernel = impl.prepare(call, key);
  std::unique_ptr<Buffer> workspace;
  if (kernel->workspace_bytes() > 0) {
    workspace = device.allocate(kernel->workspace_bytes());
    bindings.workspace = workspace->data();
  }
  std::vector<std::unique_ptr<Capture>> captures;
  std::vector<ProgramStep> steps;
  for (int i = 0; i < kRepeats; ++i) {
    ProgramStep& step = steps.emplace_back();
    step.capture = captures.emplace_back(device.capture(*kernel, bindings)).get();
    if (i > 0) step.waits_for = {i - 1};
  }
  const std::unique_ptr<Program> program = device.assemble(steps);
  double best = program->run();
  for (int run = 0; run < kRuns; ++run) best = std::min(best, program->run());
  return best / kRepeats;
}

/// Whether an error says that something does not work here, and not that nothing works any more.
bool is_refusal(Device& device, const Error& error) {
  return error.kind() == ErrorKind::kUnsupported || error.kind() == ErrorKind::kOutOfMemory ||
         (error.kind() == ErrorKind::kDevice && device.is_usable());
}

/// Milliseconds of the fastest; 0 when nothing runs it or its operands find no memory.
double time_fastest(Device& device, const Graph& graph, Precision precision) {
  double best = 0;
  const auto attempt = [&](const auto& work) {
    try {
      work();
    } catch (const Error& error) {
      if (!is_refusal(device, error)) throw;  // what remains is left out, as a profile does
    }
  };
  std::vector<std::unique_ptr<Buffer>> buffers;
  const auto allocate = [&](ValueId id) {
    const auto bytes = static_cast<std::size_t>(value_bytes(graph.value(id)));
    Buffer& made = *buffers.emplace_back(device.allocate(bytes));
    device.fill(made.data(), kNumber, bytes);
    return made.data();
  };
  Bindings bindings;
  attempt([&] {
    for (const ValueId id : graph.inputs) bindings.inputs.push_back(allocate(id));
    for (const ValueId id : graph.outputs) bindings.outputs.push_back(allocate(id));
  });
  if (bindings.outputs.empty()) return 0;

  const KernelCall call = make_call(graph, 0, precision);
  for (const KernelImpl* impl : device.kernels()) {
    if (!impl->supports(call)) continue;
    std::vector<std::string> keys;
    attempt([&] { keys = impl->variants(call, device.info().num_groups); });
    keys.resize(std::min(keys.size(), kMostVariants));
    for (const std::string& key : keys)
      attempt([&] {
        const double ms = time_variant(device, *impl, call, key, bindings);
        best = best == 0 ? ms : std::min(best, ms);
      });
  }
  return best;
}

double measure_flops(Device& device, Precision precision, std::int64_t largest) {
  constexpr std::int64_t kSmallest = 512;
  constexpr double kLongMs = 1;
  double most = 0;
  for (std::int64_t n = std::min(kSmallest, largest); n <= largest; n *= 2) {
    const Graph graph = make_graph("MatMul", {{n, n}, {n, n}}, float_type(precision));
    const double ms = time_fastest(device, graph, precision);
    if (ms == 0) break;
    most = std::max(most, 2e3 * static_cast<double>(n) * static_cast<double>(n * n) / ms);
    if (ms > kLongMs) break;
  }
  return most;
}

double measure_bandwidth(Device& device, Precision precision, std::size_t bytes) {
  const DType dtype = float_type(precision);
  constexpr std::int64_t kColumns = 1024;
  const std::int64_t rows = static_cast<std::int64_t>(bytes / size_of(dtype)) / kColumns;
  const Graph graph = make_graph("Relu", {{rows, kColumns}}, dtype);
  const double ms = time_fastest(device, graph, precision);
  return ms == 0 ? 0 : 2e3 * static_cast<double>(value_bytes(graph.value(graph.inputs[0]))) / ms;
}

}  // namespace

Peaks measure_peaks(Device& device, Precision precision, const PeakLimits& limits) {
  return {measure_flops(device, precision, limits.matrix),
          measure_bandwidth(device, precision, limits.bytes)};
}

}  // namespace gacer
