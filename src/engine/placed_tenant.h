#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <gacer/engine.h>
#include <gacer/tenant.h>

#include "base/precision.h"
#include "device/device.h"
#include "engine/arena.h"
#include "engine/model_loader.h"
#include "graph/graph.h"

namespace gacer {

/// Whether kernels read constants where the host keeps them, without a copy.
bool uses_host_memory(const Device& device);

/// Device addresses of constant tensors: the tensor's own bytes where the device uses the host's
/// memory, otherwise a copy made on first use. Tensors must outlive the store.
class ConstantStore {
 public:
  explicit ConstantStore(Device& device) : device_(device) {}
  void* address(const Tensor& tensor);

 private:
  Device& device_;
  std::map<const std::byte*, std::unique_ptr<Buffer>> copies_;
};

/// A model with its memory on the device. Addresses never change.
struct PlacedTenant {
  TenantSpec spec;
  TenantInfo info;
  Precision precision = Precision::kF32;
  LoadedModel model;
  ArenaPlan arena_plan;
  std::unique_ptr<Buffer> arena;

  const Graph& graph() const { return *model.graph; }
  /// First byte of the storage of a value that is not a constant (its root's, when it is a part).
  std::byte* storage(ValueId id) const;
  /// What step chunks mean to kernels: nothing for a node that runs whole.
  std::optional<ChunkRange> chunk_range(NodeId node, const Chunk& chunk) const;
  /// Per node: whether it may be cut along the batch.
  std::vector<bool> is_splittable;
};

/// Gives a loaded model its place beside the tenants that have theirs. Error{kOutOfMemory} when it
/// exceeds the tenant's limit or the device's memory, its weights included.
PlacedTenant place_tenant(Device& device, Precision precision, const TenantSpec& spec,
                          const LoadedModel& model,
                          std::span<const std::unique_ptr<PlacedTenant>> others);

/// "resnet18" for "zoo:resnet18" and "nets/resnet18.onnx"; "#2", "#3", … added while `taken` has
/// it.
std::string make_tenant_name(const TenantSpec& spec, const std::vector<TenantInfo>& taken);

}  // namespace gacer
