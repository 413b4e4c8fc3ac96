#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gacer/tensor.h>

#include "device/device.h"
#include "engine/placed_tenant.h"

namespace gacer {

/// Copies between a dense row-major array and elements that lie as `desc` says, whose first one is
/// at `placed`.
void gather_row_major(const OperandDesc& desc, const std::byte* placed, std::byte* dense);
void scatter_row_major(const OperandDesc& desc, const std::byte* dense, std::byte* placed);
/// An operand whose first element lies at `place` on the device.
Tensor download_row_major(Device& device, const OperandDesc& desc, const std::byte* place);
/// Bytes from the first element of an operand to the end of its last one.
std::size_t extent_bytes(const OperandDesc& desc);

/// Writes a model input. Precondition: type and shape are the input's.
void upload_input(Device& device, const PlacedTenant& tenant, ValueId input, const Tensor& value);
/// A value as a row-major host tensor, whatever its layout, a part of another value or constant.
Tensor download_value(Device& device, const PlacedTenant& tenant, ValueId id);

/// The model inputs of all tenants for one round, in the order of the graphs' inputs.
using RoundInputs = std::vector<std::vector<Tensor>>;
/// The model outputs of all tenants of one round.
using RoundOutputs = std::vector<std::vector<Tensor>>;

RoundInputs make_random_inputs(const std::vector<std::unique_ptr<PlacedTenant>>& tenants,
                               std::uint64_t seed);
void upload_inputs(Device& device, const std::vector<std::unique_ptr<PlacedTenant>>& tenants,
                   const RoundInputs& inputs);
RoundOutputs download_outputs(Device& device,
                              const std::vector<std::unique_ptr<PlacedTenant>>& tenants);

}  // namespace gacer
