#include "engine/tenant_io.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "engine/inputs.h"
#include "ops/data_movement.h"

namespace gacer {
namespace {

std::vector<std::int64_t> strides_of(const OperandDesc& desc) {
  return desc.is_dense() ? dense_strides(desc.shape, desc.layout) : desc.strides;
}

bool is_plain(const OperandDesc& desc) {
  return desc.is_dense() && desc.layout == Layout::kRowMajor;
}

/// Boxes that cover an operand: from its places, in elements, to a dense row-major array.
std::vector<BoxCopy> boxes_of(const OperandDesc& desc) {
  BoxCopy whole{.dims = desc.shape.dims(),
                .from_strides = strides_of(desc),
                .to_strides = desc.shape.row_major_strides()};
  const std::int64_t block = channel_block(desc.layout);
  if (block == 1) return {whole};
  // Whole blocks of channels, then what is left of them, with an axis of blocks before axis 1.
  const std::int64_t block_stride = whole.from_strides[1];
  const std::int64_t channel_stride = whole.to_strides[1];
  const auto make_box = [&](std::int64_t first, std::int64_t count, std::int64_t channels) {
    BoxCopy box = whole;
    box.from_offset = first * block_stride;
    box.to_offset = first * block * channel_stride;
    box.dims[1] = channels;
    box.from_strides[1] = 1;
    box.dims.insert(box.dims.begin() + 1, count);
    box.from_strides.insert(box.from_strides.begin() + 1, block_stride);
    box.to_strides.insert(box.to_strides.begin() + 1, block * channel_stride);
    return box;
  };
  const std::int64_t blocks = desc.shape[1] / block;
  return {make_box(0, blocks, block), make_box(blocks, 1, desc.shape[1] % block)};
}

void copy_on_team(const TensorView& from, const TensorView& to, BoxCopy box) {
  constexpr std::int64_t kSerialElements = 1 << 18;  // threads take as long to begin
  ThreadTeam team(to.num_elements() < kSerialElements ? 1 : count_cores());
  copy_box(from, to, std::move(box), team);
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
  const TensorView from(const_cast<std::byte*>(placed), desc.dtype, desc.shape);
  const TensorView to(dense, desc.dtype, desc.shape);
  for (BoxCopy& box : boxes_of(desc)) copy_on_team(from, to, std::move(box));
}

void scatter_row_major(const OperandDesc& desc, const std::byte* dense, std::byte* placed) {
  const TensorView from(const_cast<std::byte*>(dense), desc.dtype, desc.shape);
  const TensorView to(placed, desc.dtype, desc.shape);
  for (BoxCopy& box : boxes_of(desc)) {
    std::swap(box.from_offset, box.to_offset);
    std::swap(box.from_strides, box.to_strides);
    copy_on_team(from, to, std::move(box));
  }
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

Tensor download_row_major(Device& device, const OperandDesc& desc, const std::byte* place) {
  Tensor dense(desc.dtype, desc.shape);
  if (dense.size_bytes() == 0) return dense;
  const std::size_t bytes = extent_bytes(desc);
  const auto placed = std::make_unique_for_overwrite<std::byte[]>(bytes);
  device.download(placed.get(), place, bytes);
  gather_row_major(desc, placed.get(), dense.mutable_bytes());
  return dense;
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
  const std::size_t offset = chunk_offset_bytes(graph, id, 0);
  if (!storage.constant) return download_row_major(device, desc, tenant.storage(id) + offset);
  Tensor tensor(desc.dtype, desc.shape);
  gather_row_major(desc, storage.constant->bytes() + offset, tensor.mutable_bytes());
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
