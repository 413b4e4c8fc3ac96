#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "onnx/reader.h"
#include "ops/op_def.h"

namespace onnx {
class FunctionProto;
class ModelProto;
class NodeProto;
}  // namespace onnx

namespace gacer {

/// Opset version by (normalised) domain.
using Opsets = std::map<std::string, std::int64_t>;

/// Operators of one model: what the file defines itself and what GACER knows. Not thread-safe.
class OperatorIndex {
 public:
  explicit OperatorIndex(const onnx::ModelProto& model);

  const Opsets& opsets() const { return opsets_; }
  /// The function of the model that a node calls, or nullptr.
  const onnx::FunctionProto* find_function(const onnx::NodeProto& node) const;
  /// Opsets inside a function; what it does not import is the model's.
  Opsets opsets_of(const onnx::FunctionProto& function) const;

  /// Empty, or why a node cannot be read. Functions are looked into, subgraphs are not: which
  /// branch of an `If` is needed is known later.
  std::string check(const onnx::NodeProto& node, const Opsets& opsets) const;

 private:
  std::string check_known(const onnx::NodeProto& node, const Opsets& opsets) const;

  Opsets opsets_;
  std::unordered_map<std::string, const onnx::FunctionProto*> functions_;
  mutable std::unordered_map<const onnx::FunctionProto*, std::string> checked_;
};

/// Error{kUnsupported} listing every node among `nodes` that fails OperatorIndex::check, by
/// operator; nothing when there is none.
void require_supported(const std::vector<const onnx::NodeProto*>& nodes, const Opsets& opsets,
                       const OperatorIndex& index);

/// Calls of functions and subgraphs deeper than this are refused (a function may call itself).
inline constexpr int kMaxInlineDepth = 32;

}  // namespace gacer
