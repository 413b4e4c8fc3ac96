#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace gacer {

/// How dynamic dimensions are bound.
struct ReadOptions {
  /// Size of the batch dimension: the symbol "N", "batch" or "batch_size" where an input has it,
  /// else the unnamed or symbolic dimension that is outermost in the inputs.
  std::int64_t batch = 1;
  /// DIM=N: a symbol of the model, one of N C H W for inputs of rank 4, or INPUT.AXIS.
  std::map<std::string, std::int64_t> dims;
};

/// What a file says of itself before dimensions are bound.
struct ModelInfo {
  struct Port {
    std::string name;
    DType dtype = DType::kF32;
    std::vector<std::string> dims;  ///< "3", "batch", "?"
  };
  int ir_version = 0;
  int opset = 0;
  std::string producer;
  std::vector<Port> inputs;
  std::vector<Port> outputs;
  std::map<std::string, std::string> metadata;
  std::map<std::string, int> operators;  ///< histogram
};

/// Reads an ONNX file into a graph with static shapes: dynamic dimensions bound, nodes brought to
/// the newest operator form, shape arithmetic and other constant nodes folded, constant `If`
/// inlined, Value::batch set. Errors: kIo, kModel (corrupt, unbound dimension, wrong shapes; names
/// file, node, operator, opset, values), kUnsupported (operators, all of them listed at once).
Graph read_onnx(const std::string& path, const ReadOptions& options);
/// The same from bytes; `origin` names them in errors.
Graph parse_onnx(std::string_view bytes, const std::string& origin, const ReadOptions& options);

ModelInfo read_model_info(const std::string& path);

/// Per node of a file, whether GACER knows its operator; for `gacer check`.
struct OperatorReport {
  std::string node;
  std::string op;
  std::string reason;  ///< empty: supported
};
std::vector<OperatorReport> check_operators(const std::string& path);

}  // namespace gacer
