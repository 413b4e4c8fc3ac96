#include "onnx/batch_constants.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "ops/op_def.h"

namespace gacer {
namespace {

std::optional<BatchAxis> find_growing_axis(const Shape& once, const Shape& twice,
                                           std::int64_t batch) {
  if (once.rank() != twice.rank()) return std::nullopt;
  std::optional<BatchAxis> found;
  for (int axis = 0; axis < once.rank(); ++axis) {
    if (once[axis] == twice[axis]) continue;
    if (found || twice[axis] != 2 * once[axis] || once[axis] % batch != 0) return std::nullopt;
    found = BatchAxis{axis, once[axis] / batch};
  }
  return found;
}

struct ItemLayout {
  std::int64_t outer = 1;       ///< product of the axes before the batch
  std::int64_t item_bytes = 0;  ///< bytes of one item behind each of them
};

ItemLayout item_layout(const Tensor& tensor, const BatchAxis& batch) {
  ItemLayout layout;
  const Shape& shape = tensor.shape();
  for (int axis = 0; axis < batch.axis; ++axis) layout.outer *= shape[axis];
  layout.item_bytes = batch.factor * static_cast<std::int64_t>(size_of(tensor.dtype()));
  for (int axis = batch.axis + 1; axis < shape.rank(); ++axis) layout.item_bytes *= shape[axis];
  return layout;
}

bool items_are_equal(const Tensor& tensor, const BatchAxis& batch, std::int64_t items) {
  const ItemLayout layout = item_layout(tensor, batch);
  const auto size = static_cast<std::size_t>(layout.item_bytes);
  for (std::int64_t i = 0; i < layout.outer; ++i) {
    const std::byte* first = tensor.bytes() + i * items * layout.item_bytes;
    for (std::int64_t item = 1; item < items; ++item)
      if (std::memcmp(first, first + item * layout.item_bytes, size) != 0) return false;
  }
  return true;
}

Tensor first_item(const Tensor& tensor, const BatchAxis& batch, std::int64_t items) {
  const ItemLayout layout = item_layout(tensor, batch);
  Shape shape = tensor.shape();
  shape[batch.axis] = batch.factor;
  Tensor result(tensor.dtype(), shape);
  for (std::int64_t i = 0; i < layout.outer; ++i)
    std::memcpy(result.mutable_bytes() + i * layout.item_bytes,
                tensor.bytes() + i * items * layout.item_bytes,
                static_cast<std::size_t>(layout.item_bytes));
  return result;
}

// Whether the other operands alone give the node's output its shape.
bool can_broadcast(const Graph& graph, const Node& node, ValueId constant, int axis) {
  if (!op_of(node).is_pointwise || node.outputs.size() != 1) return false;
  const Shape& out = graph.value(node.outputs[0]).shape;
  const int from_end = graph.value(constant).shape.rank() - axis;
  return std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId input) {
    if (input == kNone || input == constant) return false;
    const Shape& shape = graph.value(input).shape;
    return shape.rank() >= from_end && shape[shape.rank() - from_end] == out[out.rank() - from_end];
  });
}

}  // namespace

void set_constant_batch_axes(Graph& graph, const std::unordered_map<std::string, Shape>& shapes,
                             const std::unordered_map<std::string, Shape>& shapes_twice) {
  const std::vector<std::vector<NodeId>> consumers = graph.consumers();
  for (ValueId id = 0; id < graph.num_values(); ++id) {
    Value& value = graph.value(id);
    const auto once = shapes.find(value.name);
    const auto twice = shapes_twice.find(value.name);
    if (!value.constant || once == shapes.end() || twice == shapes_twice.end()) continue;
    const std::optional<BatchAxis> batch =
        find_growing_axis(once->second, twice->second, graph.batch);
    if (!batch || !items_are_equal(*value.constant, *batch, graph.batch)) continue;
    const std::vector<NodeId>& readers = consumers[static_cast<std::size_t>(id)];
    if (batch->factor == 1 && std::all_of(readers.begin(), readers.end(), [&](NodeId reader) {
          return can_broadcast(graph, graph.node(reader), id, batch->axis);
        })) {
      value.constant = first_item(*value.constant, *batch, graph.batch);
      value.shape = value.constant->shape();
    } else {
      value.batch = batch;
    }
  }
}

}  // namespace gacer
