#pragma once

#include <string>

#include "graph/graph.h"

namespace gacer {

/// Writes a graph of standard operators (no fused or internal ones) as ONNX, opset 17, to a
/// temporary name that is then renamed. Batch axes with factor 1 become the symbol "N" where
/// `dynamic_batch`. Error{kIo}, {kUnsupported} naming an internal operator.
struct WriteOptions {
  bool dynamic_batch = true;
};
void write_onnx(const Graph& graph, const std::string& path, const WriteOptions& options = {});

}  // namespace gacer
