#include "engine/tenant_io.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "engine/inputs.h"

namespace gacer {
namespace {

std::vector<std::int64_t> strides_of(const OperandDesc& desc) {
  return desc.is_dense() ? dense_strides(desc.shape, desc.layout) : desc.strides;
}

/// Calls `body(placed, dense)` with the element offsets of every element in both arrays.
template <typename Body>
void for_each_element(const OperandDesc& desc, Body body) {
  const std::int64_t count = desc.shape.num_elements();
  if (count == 0) return;
  const std::vector<std::int64_t> strides = strides_of(desc);
  const std::int64_t block = channel_block(desc.layout);
  const int rank = desc.shape.rank();
  std::vector<std::int64_t> index(static_cast<std::size_t>(rank), 0);
  const auto place = [&](int axis) {
    const auto i = static_cast<std::size_t>(axis);
    if (axis == 1 && block > 1) return index[i] / block * strides[i] + index[i] % block;
    return index[i] * strides[i];
  };
  for (std::int64_t dense = 0; dense < count; ++dense) {
    std::int64_t placed = 0;
    for (int axis = 0; axis < rank; ++axis) placed += place(axis);
    body(placed, dense);
    for (int axis = rank - 1; axis >= 0; --axis) {
      const auto i = static_cast<std::size_t>(axis);
      if (++index[i] < desc.shape[axis]) break;
      index[i] = 0;
    }
  }
}

bool is_plain(const OperandDesc& desc) {
  return desc.is_dense() && desc.layout == Layout::kRowMajor;
}

/// The descriptor of a whole value.
OperandDesc describe_value(const Graph& graph, ValueId id) {
  const Value& value = graph.value(id);
  OperandDesc desc;
  desc.dtype = value.dtype;
  desc.shape = value.shape;
  desc.layout = value.layout;
  std::vector<std::int64_t> strides = value_strides(graph, id);
  if (!has_dense_strides(desc.shape, desc.layout, strides)) desc.strides = std::move(strides);
  return desc;
}

}  // namespace

void gather_row_major(const OperandDesc& desc, const std::byte* placed, std::byte* dense) {
  const auto size = static_cast<std::int64_t>(size_of(desc.dtype));
  if (is_plain(desc)) {
    std::memcpy(dense, placed, static_cast<std::size_t>(desc.shape.num_elements() * size));
    return;
  }
  for_each_element(desc, [&](std::int64_t from, std::int64_t to) {
    std::memcpy(dense + to * size, placed + from * size, static_cast<std::size_t>(size));
  });
}

void scatter_row_major(const OperandDesc& desc, const std::byte* dense, std::byte* placed) {
  const auto size = static_cast<std::int64_t>(size_of(desc.dtype));
  if (is_plain(desc)) {
    std::memcpy(placed, dense, static_cast<std::size_t>(desc.shape.num_elements() * size));
    return;
  }
  for_each_element(desc, [&](std::int64_t to, std::int64_t from) {
    std::memcpy(placed + to * size, dense + from * size, static_cast<std::size_t>(size));
  });
}

std::size_t extent_bytes(const OperandDesc& desc) {
  if (desc.is_dense()) return bytes_in_layout(desc.dtype, desc.shape, desc.layout);
  if (desc.shape.num_elements() == 0) return 0;
  const std::int64_t block = channel_block(desc.layout);
  std::int64_t last = block - 1;
  for (int axis = 0; axis < desc.shape.rank(); ++axis) {
    const std::int64_t steps = axis == 1 ? (desc.shape[1] + block - 1) / block : desc.shape[axis];
    last += (steps - 1) * desc.strides[static_cast<std::size_t>(axis)];
  }
  return static_cast<std::size_t>(last + 1) * size_of(desc.dtype);
}

void upload_input(Device& device, const PlacedTenant& tenant, ValueId input, const Tensor& value) {
  const OperandDesc desc = describe_value(tenant.graph(), input);
  std::byte* to = tenant.storage(input) + chunk_offset_bytes(tenant.graph(), input, 0);
  if (value.size_bytes() == 0) return;
  if (is_plain(desc)) {
    device.upload(to, value.bytes(), value.size_bytes());
    return;
  }
  // Padding stays zero, neighbours in the same storage stay what they are.
  std::vector<std::byte> placed(extent_bytes(desc));
  if (!desc.is_dense()) device.download(placed.data(), to, placed.size());
  scatter_row_major(desc, value.bytes(), placed.data());
  device.upload(to, placed.data(), placed.size());
}

Tensor download_value(Device& device, const PlacedTenant& tenant, ValueId id) {
  const Graph& graph = tenant.graph();
  const Value& storage = graph.value(graph.root_of(id));
  if (storage.constant && graph.root_of(id) == id) return *storage.constant;
  const OperandDesc desc = describe_value(graph, id);
  Tensor tensor(desc.dtype, desc.shape);
  if (tensor.size_bytes() == 0) return tensor;
  const std::size_t offset = chunk_offset_bytes(graph, id, 0);
  if (storage.constant) {
    gather_row_major(desc, storage.constant->bytes() + offset, tensor.mutable_bytes());
    return tensor;
  }
  std::vector<std::byte> placed(extent_bytes(desc));
  device.download(placed.data(), tenant.storage(id) + offset, placed.size());
  gather_row_major(desc, placed.data(), tensor.mutable_bytes());
  return tensor;
}

RoundInputs make_random_inputs(const std::vector<std::unique_ptr<PlacedTenant>>& tenants,
                               std::uint64_t seed) {
  RoundInputs inputs;
  for (std::size_t i = 0; i < tenants.size(); ++i) {
    const Graph& graph = tenants[i]->graph();
    inputs.emplace_back();
    for (const ValueId input : graph.inputs)
      inputs.back().push_back(make_random_input(graph, input, seed * 7919 + i));
  }
  return inputs;
}

void upload_inputs(Device& device, const std::vector<std::unique_ptr<PlacedTenant>>& tenants,
                   const RoundInputs& inputs) {
  for (std::size_t i = 0; i < tenants.size(); ++i) {
    const Graph& graph = tenants[i]->graph();
    for (std::size_t k = 0; k < graph.inputs.size(); ++k)
      upload_input(device, *tenants[i], graph.inputs[k], inputs[i][k]);
  }
}

RoundOutputs download_outputs(Device& device,
                              const std::vector<std::unique_ptr<PlacedTenant>>& tenants) {
  RoundOutputs outputs;
  for (const auto& tenant : tenants) {
    outputs.emplace_back();
    for (const ValueId output : tenant->graph().outputs)
      outputs.back().push_back(download_value(device, *tenant, output));
  }
  return outputs;
}

}  // namespace gacer
