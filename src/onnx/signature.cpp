#include "onnx/signature.h"

#include <algorithm>
#include <ranges>

#include <onnx/onnx.pb.h>

#include "base/error.h"

namespace gacer {
namespace {

const Signature* find_signature(std::string_view op, std::int64_t opset) {
  const auto versions = std::ranges::equal_range(signatures(), op, {}, &Signature::op);
  const auto later = std::ranges::upper_bound(versions, opset, {}, &Signature::since);
  return later == versions.begin() ? nullptr : &*std::prev(later);
}

bool has_attribute(const Signature& signature, std::string_view name) {
  return std::ranges::any_of(std::views::split(signature.attributes, ','),
                             [&](const auto& known) { return std::ranges::equal(known, name); });
}

/// Without those at the end that are left out.
template <typename Names>
int count(const Names& names) {
  int last = names.size();
  while (last > 0 && names[last - 1].empty()) --last;
  return last;
}

void check_count(int found, int most, const char* what) {
  if (most >= 0 && found > most)
    fail(ErrorKind::kModel, "{} {}, the operator has at most {}", found, what, most);
}

}  // namespace

void check_signature(const onnx::NodeProto& node, std::int64_t opset) {
  const Signature* const signature = find_signature(node.op_type(), opset);
  if (signature == nullptr) return;
  check_count(count(node.input()), signature->most_inputs, "inputs");
  check_count(count(node.output()), signature->most_outputs, "outputs");
  for (const onnx::AttributeProto& attribute : node.attribute())
    // Other tools' remarks begin with two underscores.
    if (!attribute.name().starts_with("__") && !has_attribute(*signature, attribute.name()))
      fail(ErrorKind::kModel, "the operator has no attribute '{}'", attribute.name());
}

}  // namespace gacer
