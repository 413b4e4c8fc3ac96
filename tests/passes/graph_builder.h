#pragma once

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"
#include "ops/op_def.h"
#include "passes/pass.h"
#include "tests/support/compare.h"

namespace gacer::testing {

/// Builds small graphs: each call appends a node and infers its output.
class GraphBuilder {
 public:
  explicit GraphBuilder(unsigned seed = 1) : random_(seed) {}

  ValueId input(Shape shape) {
    const ValueId id =
        graph.add_input("in" + std::to_string(graph.inputs.size()), DType::kF32, std::move(shape));
    return id;
  }
  /// A constant of normal numbers times `scale`, plus `offset`.
  ValueId weights(const Shape& shape, float scale = 1, float offset = 0) {
    return graph.add_constant("w" + std::to_string(graph.num_values()),
                              random_tensor(shape, scale, offset));
  }
  ValueId scalar(float value) {
    return graph.add_constant("s" + std::to_string(graph.num_values()),
                              Tensor::scalar<float>(value));
  }
  ValueId ints(std::vector<std::int64_t> values) {
    const Shape shape{static_cast<std::int64_t>(values.size())};
    return graph.add_constant(
        "i" + std::to_string(graph.num_values()),
        Tensor::from<std::int64_t>(shape, std::span<const std::int64_t>(values)));
  }
  ValueId op(const std::string& name, std::vector<ValueId> inputs, Attributes attributes = {}) {
    Value value;
    value.name = name + std::to_string(graph.num_values());
    const ValueId out = graph.add_value(std::move(value));
    Node node;
    node.op = name;
    node.name = graph.value(out).name;
    node.inputs = std::move(inputs);
    node.outputs = {out};
    node.attributes = std::move(attributes);
    infer_node(graph, graph.add_node(std::move(node)));
    return out;
  }
  void output(ValueId id) { graph.outputs.push_back(id); }

  Tensor random_tensor(const Shape& shape, float scale = 1, float offset = 0) {
    std::normal_distribution<float> normal(0, 1);
    Tensor tensor(DType::kF32, shape);
    for (float& x : tensor.mutable_data<float>()) x = normal(random_) * scale + offset;
    return tensor;
  }
  std::vector<Tensor> random_inputs() {
    std::vector<Tensor> tensors;
    for (ValueId id : graph.inputs) tensors.push_back(random_tensor(graph.value(id).shape));
    return tensors;
  }

  Graph graph;

 private:
  std::mt19937 random_;
};

/// Attributes from pairs.
inline Attributes attributes(std::vector<std::pair<std::string, Attribute>> entries) {
  Attributes result;
  for (auto& [name, value] : entries) result.set(name, std::move(value));
  return result;
}

/// The operators of a graph, in its order.
using Ops = std::vector<std::string>;
inline Ops ops_of(const Graph& graph) {
  Ops names;
  for (const Node& node : graph.nodes()) names.push_back(node.op);
  return names;
}

/// The builder's graph after the passes.
inline Graph passed(const GraphBuilder& builder, const PassOptions& options) {
  Graph graph = builder.graph;
  run_passes(graph, options);
  return graph;
}

}  // namespace gacer::testing
