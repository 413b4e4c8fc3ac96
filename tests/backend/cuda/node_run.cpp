#include "tests/backend/cuda/node_run.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <iterator>
#include <random>

#include "base/dtype.h"
#include "base/error.h"
#include "ops/op_def.h"

namespace gacer::testing {
namespace {

std::vector<float> floats_of(const Tensor& tensor) {
  std::vector<float> values;
  dispatch_dtype(tensor.dtype(), [&](auto tag) {
    for (const auto& x : tensor.data<decltype(tag)>()) values.push_back(static_cast<float>(x));
  });
  return values;
}

Tensor as_type(const Tensor& from, DType dtype) {
  Tensor to(dtype, from.shape());
  const std::vector<float> values = floats_of(from);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kF32) to.mutable_data<float>()[i] = values[i];
    if (dtype == DType::kF16) to.mutable_data<Half>()[i] = Half(values[i]);
    if (dtype == DType::kBF16) to.mutable_data<BFloat16>()[i] = BFloat16(values[i]);
  }
  return to;
}

Tensor random_tensor(const Shape& shape, std::mt19937& random) {
  std::normal_distribution<float> normal(0, 1);
  Tensor tensor(DType::kF32, shape);
  for (float& x : tensor.mutable_data<float>()) x = normal(random);
  return tensor;
}

/// Calls body(row-major position, position in memory) for every element.
void for_each_place(const Shape& shape, Layout layout,
                    const std::function<void(std::int64_t, std::int64_t)>& body) {
  const std::vector<std::int64_t> strides = dense_strides(shape, layout);
  std::vector<std::int64_t> at(static_cast<std::size_t>(shape.rank()), 0);
  for (std::int64_t i = 0; i < shape.num_elements(); ++i) {
    std::int64_t offset = 0;
    for (std::size_t axis = 0; axis < at.size(); ++axis) offset += at[axis] * strides[axis];
    body(i, offset);
    for (std::size_t axis = at.size(); axis-- > 0;) {
      if (++at[axis] < shape[static_cast<int>(axis)]) break;
      at[axis] = 0;
    }
  }
}

std::vector<std::byte> place(const Tensor& tensor, Layout layout) {
  const std::size_t size = size_of(tensor.dtype());
  std::vector<std::byte> bytes(tensor.size_bytes());
  for_each_place(tensor.shape(), layout, [&](std::int64_t from, std::int64_t to) {
    std::memcpy(bytes.data() + static_cast<std::size_t>(to) * size,
                tensor.bytes() + static_cast<std::size_t>(from) * size, size);
  });
  return bytes;
}

void evaluate(NodeCase& node) {
  const std::vector<Tensor> outputs = evaluate_graph(node.graph, node.inputs);
  node.expected = outputs.at(0);
}

constexpr std::size_t kTailBytes = 256;
constexpr unsigned char kPoison = 0xFF;

struct Buffers {
  std::vector<std::unique_ptr<Buffer>> owned;
  Bindings bindings;
};

/// Memory with a tail of no numbers behind it, which kernels must neither use nor change.
Buffer& allocate(Device& device, std::size_t bytes, Buffers& buffers) {
  Buffer& made = *buffers.owned.emplace_back(device.allocate(bytes + kTailBytes));
  device.fill(made.data(), kPoison, made.size());
  return made;
}

bool is_tail_intact(Device& device, const Buffer& buffer) {
  std::vector<unsigned char> tail(kTailBytes);
  device.download(tail.data(), static_cast<std::byte*>(buffer.data()) + buffer.size() - kTailBytes,
                  kTailBytes);
  return tail == std::vector<unsigned char>(kTailBytes, kPoison);
}

Buffers bind(Device& device, const NodeCase& node, const Kernel& kernel) {
  Buffers buffers;
  const Node& one = node.graph.node(0);
  std::size_t next = 0;
  for (std::size_t i = 0; i < one.inputs.size(); ++i) {
    const ValueId id = one.inputs[i];
    void* address = nullptr;
    if (id != kNone) {
      const Value& value = node.graph.value(id);
      const Tensor& tensor = value.constant ? *value.constant : node.inputs[next++];
      if (!value.constant || kernel.reads_input(static_cast<int>(i))) {
        const std::vector<std::byte> bytes = place(tensor, value.layout);
        address = allocate(device, bytes.size(), buffers).data();
        device.upload(address, bytes.data(), bytes.size());
      }
    }
    buffers.bindings.inputs.push_back(address);
  }
  if (kernel.workspace_bytes() > 0)
    buffers.bindings.workspace = allocate(device, kernel.workspace_bytes(), buffers).data();
  buffers.bindings.outputs = {allocate(device, node.expected.size_bytes(), buffers).data()};
  return buffers;
}

Tensor download(Device& device, const NodeCase& node, void* address) {
  const Value& value = node.graph.value(node.graph.outputs[0]);
  Tensor raw(value.dtype, value.shape);
  device.download(raw.mutable_bytes(), address, raw.size_bytes());
  return raw;
}

double compare(const NodeCase& node, const Tensor& raw) {
  const Value& value = node.graph.value(node.graph.outputs[0]);
  const std::vector<float> actual = floats_of(raw);
  const std::vector<float> expected = floats_of(node.expected);
  float scale = 0;
  for (const float x : expected) scale = std::max(scale, std::abs(x));
  double worst = 0;
  for_each_place(value.shape, value.layout, [&](std::int64_t i, std::int64_t at) {
    const double error = std::abs(static_cast<double>(actual[static_cast<std::size_t>(at)]) -
                                  static_cast<double>(expected[static_cast<std::size_t>(i)]));
    worst = std::isfinite(error) ? std::max(worst, error) : INFINITY;
  });
  return worst / std::max(scale, 1e-30F);
}

std::vector<std::byte> bytes_of(const Tensor& tensor) {
  return {tensor.bytes(), tensor.bytes() + tensor.size_bytes()};
}

void expect_same_on_stream(Device& device, const NodeCase& node, const Kernel& kernel,
                           const Buffers& buffers, Program& program, const VariantResult& result) {
  void* const output = buffers.bindings.outputs[0];
  device.fill(output, kPoison, node.expected.size_bytes());
  run_on_stream(kernel, buffers.bindings);
  const std::vector<std::byte> on_stream = bytes_of(download(device, node, output));
  if (on_stream == result.bytes) return;
  // A kernel that adds in any order gives other bits now and then.
  bool is_steady = true;
  for (int run = 0; run < 10 && is_steady; ++run) {
    program.run();
    is_steady = bytes_of(download(device, node, output)) == result.bytes;
    run_on_stream(kernel, buffers.bindings);
    is_steady = is_steady && bytes_of(download(device, node, output)) == on_stream;
  }
  EXPECT_FALSE(is_steady) << result.key << " gives other bits on a stream than in a graph";
}

double time_capture(Device& device, const Capture& capture) {
  constexpr int kRepeats = 50;
  std::vector<ProgramStep> steps(kRepeats);
  for (int i = 0; i < kRepeats; ++i) {
    steps[static_cast<std::size_t>(i)].capture = &capture;
    if (i > 0) steps[static_cast<std::size_t>(i)].waits_for = {i - 1};
  }
  const std::unique_ptr<Program> program = device.assemble(steps);
  double best = program->run();
  for (int i = 0; i < 5; ++i) best = std::min(best, program->run());
  return best * 1e3 / kRepeats;
}

}  // namespace

std::unique_ptr<Program> assemble_alone(Device& device, const Capture& capture, Budget budget) {
  ProgramStep step;
  step.capture = &capture;
  step.budget = budget;
  return device.assemble(std::span(&step, 1));
}

NodeCase make_case(const std::string& op, const std::vector<Shape>& operands,
                   const std::vector<int>& constants, Attributes attributes,
                   std::vector<PostOp> posts, unsigned seed) {
  NodeCase made;
  std::mt19937 random(seed);
  Node node;
  node.op = op;
  node.name = op;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    if (operands[i].rank() == 0) {
      node.inputs.push_back(kNone);
      continue;
    }
    const Tensor tensor = random_tensor(operands[i], random);
    if (std::find(constants.begin(), constants.end(), static_cast<int>(i)) != constants.end()) {
      node.inputs.push_back(made.graph.add_constant("w" + std::to_string(i), tensor));
    } else {
      node.inputs.push_back(
          made.graph.add_input("x" + std::to_string(i), DType::kF32, operands[i]));
      made.inputs.push_back(tensor);
    }
  }
  node.attributes = std::move(attributes);
  Value result;
  result.name = "y";
  node.outputs = {made.graph.add_value(std::move(result))};
  const NodeId id = made.graph.add_node(std::move(node));
  infer_node(made.graph, id);
  made.graph.outputs = {made.graph.node(id).outputs[0]};
  const Shape shape = made.graph.value(made.graph.outputs[0]).shape;
  for (PostOp& post : posts) {
    if (post.kind != PostOp::Kind::kActivation) {
      const ValueId extra = made.graph.add_input("post", DType::kF32, shape);
      made.inputs.push_back(random_tensor(shape, random));
      post.input = static_cast<int>(made.graph.node(id).inputs.size());
      made.graph.node(id).inputs.push_back(extra);
    }
  }
  made.graph.node(id).post = std::move(posts);
  evaluate(made);
  return made;
}

Attributes conv(std::int64_t kernel, std::int64_t stride, std::int64_t group) {
  Attributes a;
  a.set("kernel_shape", std::vector<std::int64_t>{kernel, kernel});
  a.set("strides", std::vector<std::int64_t>{stride, stride});
  a.set("pads", std::vector<std::int64_t>(4, kernel / 2));
  a.set("group", group);
  return a;
}

NodeCase make_resize_case(const Shape& image, const Shape& result, Attributes attributes,
                          unsigned seed) {
  return make_integer_case("Resize", image, {{}, {}, result.dims()}, std::move(attributes), seed);
}

NodeCase make_integer_case(const std::string& op, const Shape& image,
                           const std::vector<std::vector<std::int64_t>>& integers,
                           Attributes attributes, unsigned seed) {
  NodeCase made;
  std::mt19937 random(seed);
  Node node;
  node.op = op;
  node.name = op;
  made.inputs = {random_tensor(image, random)};
  node.inputs = {made.graph.add_input("x", DType::kF32, image)};
  for (const std::vector<std::int64_t>& values : integers) {
    const Shape shape{static_cast<std::int64_t>(values.size())};
    node.inputs.push_back(values.empty()
                              ? kNone
                              : made.graph.add_constant("i" + std::to_string(node.inputs.size()),
                                                        Tensor::from<std::int64_t>(shape, values)));
  }
  node.num_op_inputs = static_cast<int>(node.inputs.size());
  node.attributes = std::move(attributes);
  Value value;
  value.name = "y";
  node.outputs = {made.graph.add_value(std::move(value))};
  const NodeId id = made.graph.add_node(std::move(node));
  infer_node(made.graph, id);
  made.graph.outputs = {made.graph.node(id).outputs[0]};
  evaluate(made);
  return made;
}

NodeCase convert(const NodeCase& from, DType dtype, Layout layout, Kept kept) {
  NodeCase to = from;
  const ValueId image = kept == Kept::kImage ? to.graph.inputs[0] : kNone;
  const ValueId result = kept == Kept::kResultType ? to.graph.outputs[0] : kNone;
  for (std::size_t i = 0; i < to.inputs.size(); ++i)
    if (is_float(to.inputs[i].dtype()) && to.graph.inputs[i] != image)
      to.inputs[i] = as_type(to.inputs[i], dtype);
  for (ValueId id = 0; id < to.graph.num_values(); ++id) {
    Value& value = to.graph.value(id);
    if (!is_float(value.dtype) || id == image || id == result) continue;
    value.dtype = dtype;
    if (value.constant) value.constant = as_type(*value.constant, dtype);
  }
  evaluate(to);
  for (ValueId id = 0; id < to.graph.num_values(); ++id) {
    Value& value = to.graph.value(id);
    if (!value.constant && id != image && value.shape.rank() >= 3 && value.shape.rank() <= 5)
      value.layout = layout;
  }
  return to;
}

NodeCase round_image(const NodeCase& from, DType dtype) {
  NodeCase to = from;
  to.inputs[0] = as_type(to.inputs[0], dtype);
  to.graph.value(to.graph.inputs[0]).dtype = dtype;
  return to;
}

NodeCase scale_weights(const NodeCase& from, float factor) {
  NodeCase to = from;
  for (ValueId id = 0; id < to.graph.num_values(); ++id) {
    Value& value = to.graph.value(id);
    if (!value.constant || value.shape.rank() < 2) continue;
    Tensor scaled = *value.constant;
    for (float& x : scaled.mutable_data<float>()) x *= factor;
    value.constant = std::move(scaled);
  }
  evaluate(to);
  return to;
}

std::string refusals(Device& device, const NodeCase& node, Precision precision) {
  const KernelCall call = make_call(node.graph, 0, precision);
  std::string reasons;
  for (const KernelImpl* impl : device.kernels()) {
    const Result<void> result = impl->supports(call);
    if (result) return "";
    reasons += std::string(impl->name()) + ": " + result.reason() + "; ";
  }
  return reasons;
}

std::vector<VariantResult> run_variants(Device& device, const NodeCase& node, Precision precision,
                                        int width, bool is_timed,
                                        const std::vector<std::string>& only) {
  const KernelCall call = make_call(node.graph, 0, precision);
  std::vector<VariantResult> results;
  for (const KernelImpl* impl : device.kernels()) {
    if (!impl->supports(call)) continue;
    std::vector<std::string> keys;
    std::copy_if(only.begin(), only.end(), std::back_inserter(keys),
                 [&](const std::string& key) { return impl->knows(key).value_or(false); });
    if (only.empty()) keys = impl->variants(call, width);
    for (const std::string& key : keys) {
      VariantResult result;
      result.key = key;
      try {
        const std::unique_ptr<Kernel> kernel = impl->prepare(call, key);
        const Buffers buffers = bind(device, node, *kernel);
        const std::unique_ptr<Capture> capture = device.capture(*kernel, buffers.bindings);
        result.footprint = capture->footprint();
        const std::unique_ptr<Program> program = assemble_alone(device, *capture);
        program->run();
        const Tensor raw = download(device, node, buffers.bindings.outputs[0]);
        result.bytes = bytes_of(raw);
        // The driver of on_cpu/ runs both alike.
        if (!is_timed && has_libraries())
          expect_same_on_stream(device, node, *kernel, buffers, *program, result);
        const bool is_intact =
            std::all_of(buffers.owned.begin(), buffers.owned.end(),
                        [&](const auto& buffer) { return is_tail_intact(device, *buffer); });
        result.error = is_intact ? compare(node, raw) : INFINITY;
        if (is_timed) result.microseconds = time_capture(device, *capture);
      } catch (const Error& error) {
        result.refusal = error.what();
      }
      results.push_back(std::move(result));
    }
  }
  return results;
}

}  // namespace gacer::testing
