#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace onnx {
class NodeProto;
}

namespace gacer {

/// What a file may say of an operator of ai.onnx from an opset on, by ONNX's schemas.
struct Signature {
  std::string_view op;
  int since;                    ///< opset
  int most_inputs;              ///< -1: any number
  int most_outputs;             ///< -1: any number
  std::string_view attributes;  ///< names, separated by commas
};

/// By operator and opset.
std::span<const Signature> signatures();

/// Error{kModel} when a node of ai.onnx has more inputs or outputs than its operator, or an
/// attribute that it has not: what it means is not what would be computed. Operators without a
/// signature pass.
void check_signature(const onnx::NodeProto& node, std::int64_t opset);

}  // namespace gacer
