#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <cuda.h>

#include "backend/cuda/context.h"
#include "device/device.h"

namespace gacer::cuda {

/// Device memory from cuMemAlloc. Error{kOutOfMemory} states bytes asked for and bytes free.
class CudaBuffer final : public Buffer {
 public:
  CudaBuffer(const Context& context, std::size_t bytes);
  ~CudaBuffer() override;
  void* data() const override { return reinterpret_cast<void*>(address_); }
  std::size_t size() const override { return bytes_; }

 private:
  CUdeviceptr address_ = 0;
  std::size_t bytes_ = 0;
};

/// What kernels need while they prepare: the context, a stream to order work, memory for packed
/// weights. One a device; outlives its kernels.
struct Services {
  Context& context;
  const Stream& stream;

  std::shared_ptr<CudaBuffer> allocate(std::size_t bytes) const {
    return std::make_shared<CudaBuffer>(context, bytes);
  }
  /// A device copy of host bytes; returns when it is there.
  std::shared_ptr<CudaBuffer> upload(std::span<const std::byte> bytes) const;
};

/// The CUDA implementations in order of preference; one make_… function a file.
std::vector<std::unique_ptr<KernelImpl>> make_kernels(const Services& services);

}  // namespace gacer::cuda
