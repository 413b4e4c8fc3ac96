#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "graph/graph.h"
#include "onnx/bind_dims.h"
#include "onnx/model_file.h"

namespace gacer {

/// A graph of a file with static shapes, and where its folded constants came from.
struct BuiltGraph {
  Graph graph;
  /// Folded constants whose value came from the shape of something that is not constant, with
  /// their shapes. Only these can depend on the batch.
  std::unordered_map<std::string, Shape> shape_derived;
  /// The other folded constants: the same at every batch.
  std::unordered_map<std::string, Tensor> folded;
};

/// Builds the graph of a model for inputs of static shapes: subgraphs and functions inlined, nodes
/// in the newest operator form, types inferred, constant nodes folded. Neither Value::batch of what
/// nodes make nor dead nodes are looked at. `known` (or nullptr) are folded constants of an earlier
/// build of the same model, which need not be computed again.
BuiltGraph build_graph(ModelFile& model, const BoundInputs& inputs,
                       const std::unordered_map<std::string, Tensor>* known = nullptr);

}  // namespace gacer
