#pragma once

#include <string>

#include "graph/graph.h"

namespace gacer {

struct WriteOptions {
  /// The batch axis of inputs and outputs (factor 1) becomes the symbol "N". Not where constants
  /// state the batch (a Reshape target that was folded at one batch): such a file is read at that
  /// batch only.
  bool dynamic_batch = true;
};

/// Writes a graph of standard operators in row-major layout (before fusions and layout changes) as
/// ONNX, opset 21 (the first in which all operators have the form that graphs hold), to a temporary
/// name that is then renamed. Reading the file at the same batch gives an equal graph. Errors: kIo,
/// kUnsupported (an internal operator or fused node, by name; more than 2 GB).
void write_onnx(const Graph& graph, const std::string& path, const WriteOptions& options = {});

}  // namespace gacer
