#include "device/kernel.h"

#include "base/dtype.h"
#include "base/error.h"
#include "ops/op_def.h"

namespace gacer {
namespace {

/// Shape of the storage that a value lies in: its root's when it is a slice.
const Value& storage_of(const Graph& graph, const Value& value) {
  return value.slice_of ? graph.value(value.slice_of->root) : value;
}

OperandDesc describe(const Graph& graph, ValueId id, const std::optional<ChunkRange>& chunk) {
  OperandDesc desc;
  if (id == kNone) {
    desc.is_absent = true;
    return desc;
  }
  const Value& value = graph.value(id);
  desc.dtype = value.dtype;
  desc.shape = value.shape;
  desc.layout = value.layout;
  desc.is_constant = value.constant.has_value();
  if (chunk && value.batch)
    desc.shape[value.batch->axis] = (chunk->end - chunk->begin) * value.batch->factor;
  std::vector<std::int64_t> strides = value_strides(graph, id);
  if (!has_dense_strides(desc.shape, desc.layout, strides)) desc.strides = std::move(strides);
  return desc;
}

}  // namespace

std::vector<std::int64_t> dense_strides(const Shape& shape, Layout layout) {
  if (layout == Layout::kRowMajor || shape.rank() < 2) return shape.row_major_strides();
  std::vector<std::int64_t> strides(static_cast<std::size_t>(shape.rank()), 1);
  const std::int64_t block = channel_block(layout);
  const bool channels_last = layout == Layout::kChannelsLast;
  std::int64_t step = channels_last ? shape[1] : block;
  for (int axis = shape.rank() - 1; axis >= 2; --axis) {
    strides[static_cast<std::size_t>(axis)] = step;
    step *= shape[axis];
  }
  if (channels_last) {
    strides[1] = 1;
    strides[0] = step;
  } else {
    strides[1] = step;
    strides[0] = step * ((shape[1] + block - 1) / block);
  }
  return strides;
}

bool has_dense_strides(const Shape& shape, Layout layout, std::span<const std::int64_t> strides) {
  const std::vector<std::int64_t> dense = dense_strides(shape, layout);
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const auto i = static_cast<std::size_t>(axis);
    const std::int64_t block = axis == 1 ? channel_block(layout) : 1;
    // The stride of an axis with one step is never used.
    if (shape[axis] > block && strides[i] != dense[i]) return false;
  }
  return true;
}

std::vector<std::int64_t> value_strides(const Graph& graph, ValueId id) {
  const Value& value = graph.value(id);
  return dense_strides(storage_of(graph, value).shape, value.layout);
}

const Tensor* KernelCall::constant(int input) const {
  if (input < 0 || input >= static_cast<int>(node.inputs.size())) return nullptr;
  const ValueId id = node.inputs[static_cast<std::size_t>(input)];
  if (id == kNone) return nullptr;
  const Value& value = graph.value(id);
  return value.constant ? &*value.constant : nullptr;
}

KernelCall make_call(const Graph& graph, const Node& node, Precision precision,
                     std::optional<ChunkRange> chunk) {
  if (chunk)
    require(0 <= chunk->begin && chunk->begin < chunk->end && chunk->end <= graph.batch,
            "chunk [{}, {}) of node '{}' is outside its batch of {}", chunk->begin, chunk->end,
            node.name, graph.batch);
  KernelCall call{graph, node, precision, {}, {}};
  for (ValueId id : node.inputs) call.inputs.push_back(describe(graph, id, chunk));
  for (ValueId id : node.outputs) call.outputs.push_back(describe(graph, id, chunk));
  return call;
}

KernelCall make_call(const Graph& graph, NodeId node_id, Precision precision,
                     std::optional<ChunkRange> chunk) {
  return make_call(graph, graph.node(node_id), precision, chunk);
}

std::string row_signature(const Graph& graph, NodeId node, Precision precision) {
  std::string signature = op_signature(graph, node);
  if (graph.batch > 1 && !is_splittable(graph, node)) signature += fmt::format("/b{}", graph.batch);
  if (precision == Precision::kTF32) signature += "/tf32";
  return signature;
}

std::size_t chunk_offset_bytes(const Graph& graph, ValueId id, std::int64_t first_item) {
  const Value& value = graph.value(id);
  const std::vector<std::int64_t> strides = value_strides(graph, id);
  std::int64_t offset = 0;
  if (value.slice_of) {
    const int axis = value.slice_of->axis;
    const bool in_blocks = axis == 1 && channel_block(value.layout) > 1;
    const std::int64_t block = in_blocks ? channel_block(value.layout) : 1;
    require(value.slice_of->offset % block == 0,
            "slice '{}' begins at channel {}, inside a block of {}", value.name,
            value.slice_of->offset, block);
    offset += value.slice_of->offset / block * strides[static_cast<std::size_t>(axis)];
  }
  if (value.batch && first_item != 0) {
    const int axis = value.batch->axis;
    require(axis != 1 || channel_block(value.layout) == 1,
            "value '{}' has its batch on the blocked axis", value.name);
    offset += first_item * value.batch->factor * strides[static_cast<std::size_t>(axis)];
  }
  return static_cast<std::size_t>(offset) * size_of(value.dtype);
}

}  // namespace gacer
