#include "tests/conformance/runner.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <set>

#include <fmt/format.h>

#include "base/dtype.h"
#include "base/error.h"
#include "ops/op_def.h"
#include "tests/support/compare.h"

namespace gacer::conformance {
namespace {

Tensor random_tensor(DType dtype, const Shape& shape, float low, float high, std::mt19937& random) {
  Tensor tensor(dtype, shape);
  std::uniform_real_distribution<float> uniform(low, high);
  dispatch_dtype(dtype, [&]<typename T>(T) {
    for (T& x : tensor.mutable_data<T>()) {
      if constexpr (std::is_same_v<T, bool>)
        x = uniform(random) > 0;
      else
        x = static_cast<T>(uniform(random));
    }
  });
  return tensor;
}

/// Elements from a value's first one to a logical position.
std::int64_t element_offset(const std::vector<std::int64_t>& strides, Layout layout,
                            const std::vector<std::int64_t>& index) {
  std::int64_t offset = 0;
  for (std::size_t axis = 0; axis < index.size(); ++axis) {
    const std::int64_t block = axis == 1 ? channel_block(layout) : 1;
    offset += index[axis] / block * strides[axis] + index[axis] % block;
  }
  return offset;
}

/// Copies a row-major tensor into (or out of) a value's place in its storage.
void copy_value(const Graph& graph, ValueId id, std::byte* storage, std::byte* tensor,
                bool to_storage) {
  const Value& value = graph.value(id);
  const std::vector<std::int64_t> strides = value_strides(graph, id);
  const std::size_t element = size_of(value.dtype);
  std::byte* base = storage + chunk_offset_bytes(graph, id, 0);
  std::vector<std::int64_t> index(static_cast<std::size_t>(value.shape.rank()), 0);
  for (std::int64_t i = 0; i < value.shape.num_elements(); ++i) {
    std::byte* place =
        base + static_cast<std::size_t>(element_offset(strides, value.layout, index)) * element;
    std::byte* dense = tensor + static_cast<std::size_t>(i) * element;
    std::memcpy(to_storage ? place : dense, to_storage ? dense : place, element);
    for (std::size_t axis = index.size(); axis-- > 0;) {
      if (++index[axis] < value.shape[static_cast<int>(axis)]) break;
      index[axis] = 0;
    }
  }
}

/// One layout of the case on one device: buffers of all values, and the right answers.
class Bench {
 public:
  Bench(const Case& test, Graph graph, Device& device, std::span<const Tensor> inputs,
        std::span<const Tensor> expected)
      : test_(test),
        graph_(std::move(graph)),
        device_(device),
        inputs_(inputs),
        expected_(expected) {
    for (ValueId id = 0; id < graph_.num_values(); ++id) {
      const Value& value = graph_.value(id);
      const std::size_t bytes =
          value.slice_of ? 1 : bytes_in_layout(value.dtype, value.shape, value.layout);
      buffers_.push_back(device_.allocate(std::max<std::size_t>(bytes, 1)));
    }
  }

  void run(Outcome& outcome) {
    bool is_supported = false;
    for (const KernelImpl* impl : device_.kernels()) {
      const auto supported = impl->supports(make_call(graph_, 0, Precision::kF32));
      if (!supported) {
        outcome.refusals.push_back(fmt::format("{}: {}", impl->name(), supported.reason()));
        continue;
      }
      is_supported = true;
      if (std::find(outcome.kernels.begin(), outcome.kernels.end(), impl->name()) ==
          outcome.kernels.end())
        outcome.kernels.emplace_back(impl->name());
      for (int width : device_.widths())
        for (const auto& chunks : chunkings()) run_chunks(*impl, width, chunks, outcome);
    }
    if (!is_supported && is_row_major())
      outcome.failures.push_back("no kernel takes the row-major case");
  }

 private:
  using Chunks = std::vector<std::optional<ChunkRange>>;

  bool is_row_major() const {
    return std::all_of(graph_.values().begin(), graph_.values().end(),
                       [](const Value& value) { return value.layout == Layout::kRowMajor; });
  }

  std::vector<Chunks> chunkings() const {
    std::vector<Chunks> all = {{std::nullopt}};
    if (graph_.batch < 2 || !is_splittable(graph_, 0)) return all;
    all.push_back({ChunkRange{0, 1}, ChunkRange{1, graph_.batch}});
    return all;
  }

  void poison() {
    std::byte* bytes = nullptr;
    for (ValueId id = 0; id < graph_.num_values(); ++id) {
      bytes = static_cast<std::byte*>(buffers_[static_cast<std::size_t>(id)]->data());
      device_.fill(bytes, 0xff, buffers_[static_cast<std::size_t>(id)]->size());
    }
    for (ValueId id = 0; id < graph_.num_values(); ++id) {
      const Value& value = graph_.value(id);
      const auto input = std::find(graph_.inputs.begin(), graph_.inputs.end(), id);
      Tensor tensor;
      if (value.constant)
        tensor = *value.constant;
      else if (input != graph_.inputs.end())
        tensor = inputs_[static_cast<std::size_t>(input - graph_.inputs.begin())];
      else
        continue;
      // Through the host: the padding of blocked inputs is zero, what surrounds a window is NaN.
      Buffer& buffer = storage(id);
      std::vector<std::byte> host(buffer.size());
      device_.download(host.data(), buffer.data(), host.size());
      if (channel_block(value.layout) > 1) std::fill(host.begin(), host.end(), std::byte{0});
      copy_value(graph_, id, host.data(), const_cast<std::byte*>(tensor.bytes()), true);
      device_.upload(buffer.data(), host.data(), host.size());
    }
  }

  Buffer& storage(ValueId id) {
    const Value& value = graph_.value(id);
    return *buffers_[static_cast<std::size_t>(value.slice_of ? value.slice_of->root : id)];
  }

  void* address(ValueId id, const std::optional<ChunkRange>& chunk) {
    if (id == kNone) return nullptr;
    return static_cast<std::byte*>(storage(id).data()) +
           chunk_offset_bytes(graph_, id, chunk ? chunk->begin : 0);
  }

  void run_chunks(const KernelImpl& impl, int width, const Chunks& chunks, Outcome& outcome) {
    // Each variant of the first chunk; the others take their own best.
    const KernelCall first = make_call(graph_, 0, Precision::kF32, chunks[0]);
    if (const auto supported = impl.supports(first); !supported) {
      outcome.refusals.push_back(fmt::format("{} of a chunk: {}", impl.name(), supported.reason()));
      return;
    }
    const std::vector<std::string> keys = impl.variants(first, width);
    if (keys.empty())
      outcome.failures.push_back(
          fmt::format("{} supports the case but has no variant at width {}", impl.name(), width));
    for (const std::string& key : keys) {
      poison();
      std::string what = fmt::format("{}, {} chunks, layout {}", key, chunks.size(),
                                     to_string(graph_.value(graph_.outputs[0]).layout));
      try {
        for (const auto& chunk : chunks) {
          const KernelCall call = make_call(graph_, 0, Precision::kF32, chunk);
          run_one(impl, call, &chunk == &chunks[0] ? key : impl.variants(call, width).at(0), width,
                  chunk);
        }
        compare(what, outcome);
      } catch (const std::exception& error) {
        outcome.failures.push_back(what + ": " + error.what());
      }
    }
  }

  void run_one(const KernelImpl& impl, const KernelCall& call, const std::string& key, int width,
               const std::optional<ChunkRange>& chunk) {
    const std::unique_ptr<Kernel> kernel = impl.prepare(call, key);
    Bindings bindings;
    for (std::size_t i = 0; i < call.node.inputs.size(); ++i)
      bindings.inputs.push_back(
          kernel->reads_input(static_cast<int>(i)) ? address(call.node.inputs[i], chunk) : nullptr);
    for (ValueId id : call.node.outputs) bindings.outputs.push_back(address(id, chunk));
    const auto workspace = device_.allocate(std::max<std::size_t>(kernel->workspace_bytes(), 1));
    device_.fill(workspace->data(), 0xff, workspace->size());
    bindings.workspace = workspace->data();
    const auto capture = device_.capture(*kernel, bindings);
    const std::vector<ProgramStep> steps = {{.capture = capture.get(), .budget = {0, width}}};
    device_.assemble(steps)->run();
  }

  void compare(const std::string& what, Outcome& outcome) {
    ++outcome.num_runs;
    for (std::size_t i = 0; i < graph_.outputs.size(); ++i) {
      const ValueId id = graph_.outputs[i];
      const Value& value = graph_.value(id);
      std::vector<std::byte> host(storage(id).size());
      device_.download(host.data(), storage(id).data(), host.size());
      Tensor result(value.dtype, value.shape);
      copy_value(graph_, id, host.data(), result.mutable_bytes(), false);
      const double error = testing::relative_error(result, expected_[i]);
      if (!(error <= test_.tolerance))
        outcome.failures.push_back(
            fmt::format("{}: output {} is off by {} of its scale", what, i, error));
    }
  }

  const Case& test_;
  Graph graph_;
  Device& device_;
  std::span<const Tensor> inputs_;
  std::span<const Tensor> expected_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
};

/// The case's graph with all images in a layout; `thin` leaves the first input row-major.
Graph in_layout(const Graph& graph, Layout layout, bool thin) {
  Graph result = graph;
  const int rank = graph.value(graph.outputs[0]).shape.rank();
  for (ValueId id = 0; id < result.num_values(); ++id) {
    Value& value = result.value(id);
    if (value.constant || value.shape.rank() != rank) continue;
    if (thin && !graph.inputs.empty() && id == graph.inputs[0]) continue;
    value.layout = layout;
  }
  return result;
}

}  // namespace

Outcome run_case(const Case& test, Device& device, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<Tensor> inputs;
  for (ValueId id : test.graph.inputs) {
    const Value& value = test.graph.value(id);
    inputs.push_back(random_tensor(value.dtype, value.shape, test.low, test.high, random));
  }
  const std::vector<Tensor> expected = evaluate_graph(test.graph, inputs);
  std::vector<Graph> graphs = {test.graph};
  if (test.has_image_layouts)
    for (Layout layout : {Layout::kChannelsLast, Layout::kBlocked8, Layout::kBlocked16})
      for (bool thin : {false, true}) graphs.push_back(in_layout(test.graph, layout, thin));
  Outcome outcome;
  for (Graph& graph : graphs) {
    Bench bench(test, std::move(graph), device, inputs, expected);
    bench.run(outcome);
  }
  return outcome;
}

Case with_slices(const Case& test) {
  Case sliced = test;
  sliced.name += "/slices";
  const int num_values = sliced.graph.num_values();
  for (ValueId id = 0; id < num_values; ++id) {
    const Value& value = sliced.graph.value(id);
    if (value.constant || value.shape.rank() < 2) continue;
    const int axis = value.batch && value.batch->axis == 1 ? 0 : 1;
    Value root = value;
    root.name = value.name + ".root";
    root.producer = kNone;
    root.shape[axis] += 48;
    const ValueId root_id = sliced.graph.add_value(std::move(root));
    sliced.graph.value(id).slice_of = SliceOf{root_id, axis, 16};
  }
  return sliced;
}

ValueId CaseBuilder::input(Shape shape, int batch_axis, DType dtype) {
  Graph& graph = case_.graph;
  const ValueId id =
      graph.add_input(fmt::format("input{}", graph.inputs.size()), dtype, std::move(shape));
  if (batch_axis >= 0) {
    const std::int64_t size = graph.value(id).shape[batch_axis];
    if (batch_ == 1) batch_ = size;
    graph.value(id).batch = BatchAxis{batch_axis, size / batch_};
  }
  return id;
}

ValueId CaseBuilder::constant(Shape shape, DType dtype) {
  std::mt19937 random(static_cast<unsigned>(17 + case_.graph.num_values()));
  return constant(random_tensor(dtype, shape, -1, 1, random));
}

ValueId CaseBuilder::constant(Tensor tensor) {
  return case_.graph.add_constant(fmt::format("constant{}", case_.graph.num_values()),
                                  std::move(tensor));
}

CaseBuilder& CaseBuilder::node(std::string op, std::vector<ValueId> inputs, Attributes attributes,
                               int num_outputs) {
  node_.op = std::move(op);
  node_.name = case_.name;
  node_.num_op_inputs = static_cast<int>(inputs.size());
  node_.inputs = std::move(inputs);
  node_.attributes = std::move(attributes);
  num_outputs_ = num_outputs;
  return *this;
}

CaseBuilder& CaseBuilder::activation(Activation activation, float alpha, float beta) {
  node_.post.push_back({PostOp::Kind::kActivation, activation, alpha, beta, kNone});
  return *this;
}

CaseBuilder& CaseBuilder::post(PostOp::Kind kind, ValueId operand) {
  PostOp post;
  post.kind = kind;
  post.input = static_cast<int>(node_.inputs.size());
  node_.inputs.push_back(operand);
  node_.post.push_back(post);
  return *this;
}

Case CaseBuilder::build() {
  Graph& graph = case_.graph;
  graph.name = case_.name;
  graph.batch = batch_;
  for (int i = 0; i < num_outputs_; ++i) {
    Value value;
    value.name = fmt::format("output{}", i);
    node_.outputs.push_back(graph.add_value(std::move(value)));
  }
  graph.add_node(node_);
  graph.outputs = node_.outputs;
  infer_node(graph, 0);
  if (result_) graph.value(graph.outputs[0]).dtype = *result_;
  infer_batch_axes(graph);
  verify_graph(graph);
  return std::move(case_);
}

}  // namespace gacer::conformance
