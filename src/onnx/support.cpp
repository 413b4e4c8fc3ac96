#include "onnx/support.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <onnx/onnx.pb.h>

#include "base/error.h"
#include "onnx/node_order.h"

namespace gacer {
namespace {

// The newest opset of ai.onnx whose operators were compared with ours. Who raises it runs
// tools/make_onnx_signatures.
constexpr std::int64_t kNewestOpset = 27;

template <typename Imports>
void add_opsets(const Imports& imports, Opsets& opsets) {
  for (const auto& import : imports)
    opsets[import.domain() == "ai.onnx" ? std::string() : import.domain()] = import.version();
}

std::string function_key(const std::string& domain, const std::string& name,
                         const std::string& overload) {
  return fmt::format("{}\n{}\n{}", domain == "ai.onnx" ? "" : domain, name, overload);
}

}  // namespace

OperatorIndex::OperatorIndex(const onnx::ModelProto& model) {
  add_opsets(model.opset_import(), opsets_);
  for (const onnx::FunctionProto& function : model.functions())
    functions_[function_key(function.domain(), function.name(), function.overload())] = &function;
}

const onnx::FunctionProto* OperatorIndex::find_function(const onnx::NodeProto& node) const {
  const auto found = functions_.find(function_key(node.domain(), node.op_type(), node.overload()));
  return found == functions_.end() ? nullptr : found->second;
}

Opsets OperatorIndex::opsets_of(const onnx::FunctionProto& function) const {
  Opsets opsets = opsets_;
  add_opsets(function.opset_import(), opsets);
  return opsets;
}

std::string OperatorIndex::check(const onnx::NodeProto& node, const Opsets& opsets) const {
  const onnx::FunctionProto* function = find_function(node);
  if (function == nullptr) return check_known(node, opsets);
  const auto [known, is_new] = checked_.emplace(function, "its function calls itself");
  if (!is_new) return known->second;
  const Opsets inner = opsets_of(*function);
  std::string result;
  for (const onnx::NodeProto& called : function->node()) {
    const std::string reason = check(called, inner);
    if (reason.empty()) continue;
    result = fmt::format("its function uses {}: {}", called.op_type(), reason);
    break;
  }
  return checked_[function] = result;
}

std::string OperatorIndex::check_known(const onnx::NodeProto& node, const Opsets& opsets) const {
  const std::string domain = normalized_domain(node);
  const auto opset = opsets.find(domain);
  if (opset == opsets.end())
    return fmt::format("the model imports no opset of the domain '{}'", domain);
  if (domain.empty() && opset->second > kNewestOpset)
    return fmt::format("opset {} is newer than those that GACER knows (up to {})", opset->second,
                       kNewestOpset);
  if (domain.empty() && (node.op_type() == "If" || node.op_type() == "Constant")) return {};
  // Operators that only passes make have no meaning in a file.
  const OpDef* def = domain == "gacer" ? nullptr : find_op(node.op_type(), domain);
  if (def == nullptr) return "no such operator in GACER";
  if (opset->second < def->min_opset)
    return fmt::format("opset {} is older than {}, the first that GACER reads it of", opset->second,
                       def->min_opset);
  if (opset->second > def->max_opset)
    return fmt::format("opset {} is newer than {}, the last that GACER reads it of", opset->second,
                       def->max_opset);
  return {};
}

void require_supported(const std::vector<const onnx::NodeProto*>& nodes, const Opsets& opsets,
                       const OperatorIndex& index) {
  struct Finding {
    std::string reason;
    std::vector<std::string> nodes;
  };
  std::map<std::string, Finding> findings;
  for (const onnx::NodeProto* node : nodes) {
    const std::string reason = index.check(*node, opsets);
    if (reason.empty()) continue;
    const std::string domain = normalized_domain(*node);
    Finding& finding = findings[(domain.empty() ? "" : domain + ".") + node->op_type()];
    finding.reason = reason;
    finding.nodes.push_back(display_name(*node));
  }
  if (findings.empty()) return;
  std::vector<std::string> lines;
  for (const auto& [op, finding] : findings)
    lines.push_back(
        fmt::format("{} ({}): node{} {}", op, finding.reason,
                    finding.nodes.size() == 1 ? "" : fmt::format("s ×{}", finding.nodes.size()),
                    fmt::join(finding.nodes, ", ")));
  fail(ErrorKind::kUnsupported, "{} operator{} not supported: {}", findings.size(),
       findings.size() == 1 ? " is" : "s are", fmt::join(lines, "; "));
}

}  // namespace gacer
