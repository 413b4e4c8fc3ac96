#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>

#include "backend/cuda/context.h"
#include "backend/cuda/driver.h"

namespace gacer::cuda {

/// Kernels loaded through the library API: only such kernels can be placed on another SM set.
class Module {
 public:
  /// `image`: a fatbin or cubin, which must outlive the module.
  Module(const Context& context, const void* image);
  ~Module();
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;
  /// Error{kInternal} when the image has no such kernel.
  CUkernel kernel(const char* name) const;

 private:
  CUlibrary library_ = nullptr;
};

/// A cubin with its bytes, made at run time.
struct CompiledModule {
  std::string image;
  std::unique_ptr<Module> module;
};

/// Compiles CUDA C++ for the device of `context`, or finds what an earlier process compiled.
/// Error{kInternal} with the compiler's log.
std::shared_ptr<const CompiledModule> compile_module(const Context& context,
                                                     const std::string& source);

struct Grid {
  unsigned x = 1;
  unsigned y = 1;
  unsigned z = 1;
  unsigned cluster = 1;  ///< of a grid: neighbours along z that form a cluster
};
inline constexpr int kMostBlocksYZ = 65535;  ///< that a grid may have along y and along z

/// Lets a kernel be launched with up to `bytes` of shared memory; without, the most is 48 KiB.
/// Error{kUnsupported} when the device has less.
void allow_shared_bytes(const Context& context, CUkernel kernel, std::size_t bytes);

/// Launches with raw argument pointers.
void launch_kernel(CUstream stream, CUkernel kernel, Grid grid, Grid block, unsigned shared_bytes,
                   void** arguments);

template <typename... Args>
void launch(CUstream stream, CUkernel kernel, Grid grid, Grid block, unsigned shared_bytes,
            Args... args) {
  std::array<void*, sizeof...(Args)> pointers = {static_cast<void*>(&args)...};
  launch_kernel(stream, kernel, grid, block, shared_bytes, pointers.data());
}

}  // namespace gacer::cuda
