// Times the kernels of the CPU backend by themselves: for each shape and layout the fastest variant
// at each width. `bench_cpu_kernels [FILTER]` prints a table; milliseconds are the best of many.

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "device/device.h"
#include "graph/graph.h"
#include "ops/op_def.h"

namespace gacer {
namespace {

struct ConvShape {
  const char* name;
  Shape x;
  Shape w;
  std::int64_t stride = 1;
  std::int64_t group = 1;
};

const std::vector<ConvShape> kShapes = {
    {"resnet 7x7/2 3-64", {8, 3, 224, 224}, {64, 3, 7, 7}, 2},
    {"resnet 1x1 64-64", {8, 64, 56, 56}, {64, 64, 1, 1}},
    {"resnet 3x3 64-64", {8, 64, 56, 56}, {64, 64, 3, 3}},
    {"resnet 1x1 64-256", {8, 64, 56, 56}, {256, 64, 1, 1}},
    {"resnet 3x3 128-128", {8, 128, 28, 28}, {128, 128, 3, 3}},
    {"resnet 1x1 512-128", {8, 512, 28, 28}, {128, 512, 1, 1}},
    {"resnet 3x3 256-256", {8, 256, 14, 14}, {256, 256, 3, 3}},
    {"resnet 1x1 1024-256", {8, 1024, 14, 14}, {256, 1024, 1, 1}},
    {"resnet 3x3 512-512", {8, 512, 7, 7}, {512, 512, 3, 3}},
    {"resnet 1x1/2 256-512", {8, 256, 56, 56}, {512, 256, 1, 1}, 2},
    {"mobile dw3x3 32", {8, 32, 112, 112}, {32, 1, 3, 3}, 1, 32},
    {"mobile dw3x3/2 96", {8, 96, 112, 112}, {96, 1, 3, 3}, 2, 96},
    {"mobile dw5x5 240", {8, 240, 14, 14}, {240, 1, 5, 5}, 1, 240},
    {"mobile 1x1 16-96", {8, 16, 112, 112}, {96, 16, 1, 1}},
    {"mobile 1x1 96-24", {8, 96, 56, 56}, {24, 96, 1, 1}},
    {"vgg 3x3 512-512", {2, 512, 28, 28}, {512, 512, 3, 3}},
};

Graph conv_graph(const ConvShape& shape, Layout layout) {
  Graph graph;
  graph.batch = shape.x[0];
  const ValueId x = graph.add_input("x", DType::kF32, shape.x);
  graph.value(x).batch = BatchAxis{};
  Tensor weights(DType::kF32, shape.w);
  for (float& w : weights.mutable_data<float>()) w = 0.01F;
  const ValueId w = graph.add_constant("w", weights);
  Tensor bias(DType::kF32, Shape{shape.w[0]});
  for (float& b : bias.mutable_data<float>()) b = 0.5F;
  const ValueId b = graph.add_constant("b", bias);
  Node node;
  node.op = "Conv";
  node.name = shape.name;
  node.inputs = {x, w, b};
  node.outputs = {graph.add_value({.name = "y"})};
  const std::int64_t pad = shape.w[2] / 2;
  node.attributes.set("pads", std::vector<std::int64_t>{pad, pad, pad, pad});
  node.attributes.set("strides", std::vector<std::int64_t>{shape.stride, shape.stride});
  node.attributes.set("group", shape.group);
  node.post.push_back({.activation = Activation::kRelu});
  graph.add_node(node);
  graph.outputs = node.outputs;
  infer_node(graph, 0);
  infer_batch_axes(graph);
  if (shape.x[1] > 3) graph.value(x).layout = layout;
  graph.value(graph.outputs[0]).layout = layout;
  return graph;
}

/// Best of many runs, alternating two sets of addresses so that nothing stays in the cache by luck.
double best_ms(Device& device, const Graph& graph, const KernelImpl& impl, const std::string& key,
               int width) {
  const auto kernel = impl.prepare(make_call(graph, 0, Precision::kF32), key);
  const auto bytes = [&](ValueId id) {
    const Value& value = graph.value(id);
    return bytes_in_layout(value.dtype, value.shape, value.layout);
  };
  const auto in = device.allocate(bytes(graph.inputs[0]));
  const auto out = device.allocate(bytes(graph.outputs[0]));
  const auto workspace = device.allocate(std::max<std::size_t>(kernel->workspace_bytes(), 1));
  device.fill(in->data(), 0, in->size());
  Bindings bindings{{in->data(), nullptr, nullptr}, {out->data()}, workspace->data()};
  for (std::size_t i = 1; i < 3; ++i)
    bindings.inputs[i] =
        const_cast<std::byte*>(graph.value(graph.node(0).inputs[i]).constant->bytes());
  const auto capture = device.capture(*kernel, bindings);
  const std::vector<ProgramStep> steps = {{.capture = capture.get(), .budget = {0, width}}};
  const auto program = device.assemble(steps);
  double best = program->run();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(150);
  while (std::chrono::steady_clock::now() < deadline) best = std::min(best, program->run());
  return best;
}

void run(const std::string& filter) {
  const auto device = open_device("cpu");
  const DeviceInfo& info = device->info();
  fmt::print("{}: {:.1f} GFLOP/s, {:.1f} GB/s\n", info.name, info.peak_flops / 1e9,
             info.peak_bandwidth / 1e9);
  for (const ConvShape& shape : kShapes) {
    if (std::string(shape.name).find(filter) == std::string::npos) continue;
    for (Layout layout : {Layout::kRowMajor, Layout::kChannelsLast, Layout::kBlocked8}) {
      const Graph graph = conv_graph(shape, layout);
      const double flop = cost_of(graph, 0).flop;
      std::string line = fmt::format("{:22} {:13}", shape.name, to_string(layout));
      for (int width : device->widths()) {
        double best = 1e30;
        std::string best_key;
        for (const KernelImpl* impl : device->kernels()) {
          if (impl->is_fallback()) continue;
          const KernelCall call = make_call(graph, 0, Precision::kF32);
          if (!impl->supports(call)) continue;
          for (const std::string& key : impl->variants(call, width)) {
            const double ms = best_ms(*device, graph, *impl, key, width);
            if (ms < best) {
              best = ms;
              best_key = key;
            }
          }
        }
        line += fmt::format(" {:8.3f} ms {:6.1f} GF/s {:34}", best, flop / best / 1e6, best_key);
      }
      fmt::print("{}\n", line);
      std::fflush(stdout);
    }
  }
}

}  // namespace
}  // namespace gacer

int main(int argc, char** argv) { gacer::run(argc > 1 ? argv[1] : ""); }
