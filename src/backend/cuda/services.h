#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <gacer/tensor.h>

#include "backend/cuda/context.h"
#include "backend/cuda/driver.h"
#include "backend/cuda/module.h"
#include "backend/cuda/worker_pool.h"
#include "device/device.h"

namespace gacer::cuda {

/// Bytes of a part of a workspace, so that the next part begins where any kernel can read it.
inline std::size_t align_part(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

/// Device memory from cuMemAlloc. Error{kOutOfMemory} states bytes asked for and bytes free.
class CudaBuffer final : public Buffer {
 public:
  CudaBuffer(const Context& context, std::size_t bytes);
  ~CudaBuffer() override;
  void* data() const override { return reinterpret_cast<void*>(address_); }
  std::size_t size() const override { return bytes_; }

 private:
  const Context& context_;
  CUdeviceptr address_ = 0;
  std::size_t bytes_ = 0;
};

/// What kernels need while they prepare: the context, a stream to order work, memory for packed
/// weights, compiled code. One a device; copies share what was made; outlives its kernels.
class Services {
 public:
  Services(Context& context, const Stream& stream);

  Context& context() const { return context_; }
  const Stream& stream() const { return stream_; }

  std::shared_ptr<CudaBuffer> allocate(std::size_t bytes) const {
    return std::make_shared<CudaBuffer>(context_, bytes);
  }
  /// A device copy of host bytes; returns when it is there.
  std::shared_ptr<CudaBuffer> upload(std::span<const std::byte> bytes) const;
  /// A device copy of a constant in the form that `pack` makes of it. Kernels that ask for one form
  /// of one tensor share the copy, which lives as long as they do.
  std::shared_ptr<CudaBuffer> upload_packed(
      const Tensor& constant, const std::string& form,
      const std::function<std::vector<std::byte>(const Tensor&)>& pack) const;

  /// A device copy of a constant's numbers as they are, in a type; shared in the same way.
  std::shared_ptr<CudaBuffer> upload_as(const Tensor& constant, DType dtype) const;

  /// Threads that build ahead, whatever it is.
  WorkerPool& workers() const;
  /// Begins to compile on another thread what compile() will soon be asked for.
  void compile_ahead(const std::string& source) const;
  /// Compiled code, once a source text.
  std::shared_ptr<const CompiledModule> compile(const std::string& source) const;
  /// A kernel of the program's own code: kernel("pool", "max_pool_f16").
  CUkernel kernel(const char* file, const std::string& name) const;

 private:
  struct State;
  std::shared_ptr<CudaBuffer> share(const Tensor& constant, const std::string& form,
                                    const std::function<std::shared_ptr<CudaBuffer>()>& make) const;

  Context& context_;
  const Stream& stream_;
  std::shared_ptr<State> state_;
};

/// The CUDA implementations in order of preference; one make_… function a file.
std::vector<std::unique_ptr<KernelImpl>> make_kernels(const Services& services);

}  // namespace gacer::cuda
