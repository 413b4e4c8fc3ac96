#pragma once

#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"

namespace gacer::graph_test {

inline ValueId add_result(Graph& graph, const std::string& name, Shape shape) {
  Value value;
  value.name = name;
  value.shape = std::move(shape);
  return graph.add_value(std::move(value));
}

inline NodeId add_op(Graph& graph, const std::string& op, std::vector<ValueId> inputs,
                     std::vector<ValueId> outputs) {
  Node node;
  node.op = op;
  node.name = op + std::to_string(graph.num_nodes());
  node.inputs = std::move(inputs);
  node.outputs = std::move(outputs);
  return graph.add_node(std::move(node));
}

inline Tensor weights(Shape shape, float first) {
  Tensor tensor(DType::kF32, std::move(shape));
  for (float& value : tensor.mutable_data<float>()) value = first++;
  return tensor;
}

/// x -> Conv(w) -> Relu -> y with the batch on axis 0, and a node that nothing uses.
struct SmallNet {
  explicit SmallNet(std::int64_t batch = 4, float first_weight = 0) {
    graph.name = "small";
    graph.batch = batch;
    x = graph.add_input("x", DType::kF32, Shape{batch, 3, 8, 8});
    w = graph.add_constant("w", weights(Shape{5, 3, 1, 1}, first_weight));
    conv_out = add_result(graph, "c", Shape{batch, 5, 8, 8});
    y = add_result(graph, "y", Shape{batch, 5, 8, 8});
    dead = add_result(graph, "dead", Shape{batch, 5, 8, 8});
    conv = add_op(graph, "Conv", {x, w}, {conv_out});
    unused = add_op(graph, "Sigmoid", {conv_out}, {dead});
    relu = add_op(graph, "Relu", {conv_out}, {y});
    graph.outputs = {y};
    for (const ValueId id : {x, conv_out, y, dead}) graph.value(id).batch = BatchAxis{0, 1};
  }

  Graph graph;
  ValueId x = kNone, w = kNone, conv_out = kNone, y = kNone, dead = kNone;
  NodeId conv = kNone, relu = kNone, unused = kNone;
};

}  // namespace gacer::graph_test
