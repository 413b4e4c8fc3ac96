#include "passes/rewrite.h"

#include <algorithm>
#include <cmath>

#include "base/convert.h"
#include "base/dtype.h"
#include "base/error.h"

namespace gacer {

NodeId Rewriter::producer(ValueId value, std::string_view op) const {
  if (value == kNone) return kNone;
  const NodeId id = graph_.value(value).producer;
  if (id == kNone) return kNone;
  const Node& node = graph_.node(id);
  return !node.is_removed && node.op == op && node.post.empty() ? id : kNone;
}

NodeId Rewriter::sole_consumer(ValueId value) const {
  if (value == kNone || graph_.is_output(value)) return kNone;
  const std::vector<NodeId>& readers = consumers(value);
  if (readers.size() != 1) return kNone;
  const Node& reader = graph_.node(readers[0]);
  return std::count(reader.inputs.begin(), reader.inputs.end(), value) == 1 ? readers[0] : kNone;
}

std::optional<float> Rewriter::scalar(ValueId value) const {
  if (!graph_.is_constant(value)) return std::nullopt;
  const Tensor& tensor = *graph_.value(value).constant;
  if (tensor.num_elements() != 1 || !is_float(tensor.dtype())) return std::nullopt;
  return floats_of(tensor)[0];
}

std::optional<Rewriter::Scaled> Rewriter::split_scalar(NodeId id) const {
  const Node& node = graph_.node(id);
  if (node.inputs.size() != 2 || !node.post.empty()) return std::nullopt;
  for (std::size_t i : {1u, 0u})
    if (const std::optional<float> number = scalar(node.inputs[i]))
      return Scaled{node.inputs[1 - i], *number, i == 0};
  return std::nullopt;
}

bool Rewriter::forward(ValueId from, ValueId to) {
  if (graph_.is_output(from)) {
    const bool is_fixed = graph_.value(to).producer == kNone || graph_.is_output(to);
    if (is_fixed) return false;
    std::swap(graph_.value(to).name, graph_.value(from).name);
  }
  graph_.replace_uses(from, to);
  refresh();
  return true;
}

std::vector<float> floats_of(const Tensor& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.num_elements()));
  convert_numbers(tensor.dtype(), tensor.bytes(), DType::kF32,
                  reinterpret_cast<std::byte*>(values.data()), tensor.num_elements());
  return values;
}

Tensor make_float_tensor(DType dtype, Shape shape, const std::vector<float>& values) {
  Tensor tensor(dtype, std::move(shape));
  require(is_float(dtype) && tensor.num_elements() == static_cast<std::int64_t>(values.size()),
          "{} values for a {} tensor of shape {}", values.size(), to_string(dtype),
          tensor.shape().to_string());
  convert_numbers(DType::kF32, reinterpret_cast<const std::byte*>(values.data()), dtype,
                  tensor.mutable_bytes(), tensor.num_elements());
  return tensor;
}

std::optional<Affine> affine_of_batch_norm(const Graph& graph, const Node& node) {
  if (node.outputs.size() > 1 || node.attributes.get_int("training_mode", 0) != 0)
    return std::nullopt;
  for (std::size_t i = 1; i < 5; ++i)
    if (!graph.is_constant(node.inputs[i])) return std::nullopt;
  const float epsilon = node.attributes.get_float("epsilon", 1e-5F);
  const auto part = [&](std::size_t i) { return floats_of(*graph.value(node.inputs[i]).constant); };
  const std::vector<float> gamma = part(1), beta = part(2), mean = part(3), variance = part(4);
  Affine affine;
  for (std::size_t c = 0; c < gamma.size(); ++c) {
    const float scale = gamma[c] / std::sqrt(variance[c] + epsilon);
    affine.scale.push_back(scale);
    affine.shift.push_back(beta[c] - mean[c] * scale);
  }
  return affine;
}

}  // namespace gacer
