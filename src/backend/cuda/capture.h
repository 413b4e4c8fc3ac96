#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/cuda/context.h"
#include "backend/cuda/driver.h"
#include "backend/cuda/kernels/fill.h"
#include "backend/cuda/services.h"
#include "device/device.h"

namespace gacer::cuda {

/// Where CUDA kernels record: a stream under capture. Library handles take the stream; own kernels
/// are launched on it. Nothing else may be done with it (no synchronisation, no allocation).
class CudaRecorder final : public Recorder {
 public:
  explicit CudaRecorder(CUstream stream) : stream_(stream) {}
  CUstream stream() const { return stream_; }

 private:
  CUstream stream_;
};

/// Kernels of kernels/fill.cu.
struct FillKernels {
  CUkernel fill = nullptr;
  CUkernel reset = nullptr;
};

constexpr unsigned kResetThreads = 64;
/// Of the kernel that does at most kMostResets, a block each.
ResetArgs args_of(std::span<const Reset> resets);

/// Makes kernels of a captured graph's memory sets: a program that holds nothing but kernels starts
/// several times faster, and a kernel keeps to its step's SM set.
void replace_memory_sets(CUgraph graph, CUkernel fill);
/// Takes memory sets out of a graph that wait for nothing and set a part of `memory` that no other
/// does, kMostResets of them at most.
std::vector<Reset> take_resets(CUgraph graph, const CudaBuffer& memory);

/// One node of a captured graph, ready to be put into another graph and context.
struct Launch {
  enum class Kind { kKernel, kMemset, kMemcpy };
  Kind kind = Kind::kKernel;
  CUDA_KERNEL_NODE_PARAMS kernel = {};  ///< kern is null where the driver gave none
  CUfunction function = nullptr;        ///< as captured; used when `kern` is unknown
  CUDA_MEMSET_NODE_PARAMS memset = {};
  CUDA_MEMCPY3D memcpy = {};
  /// Attributes that must be copied one by one across contexts.
  std::vector<std::pair<CUlaunchAttributeID, CUlaunchAttributeValue>> attributes;
  /// Earlier launches of the same list, and the edge's type (programmatic or full).
  std::vector<std::pair<int, CUgraphEdgeData>> waits_for;
};

/// Blocks of a cluster, from the value of that attribute.
inline unsigned count_blocks(const CUlaunchAttributeValue& cluster) {
  return cluster.clusterDim.x * cluster.clusterDim.y * cluster.clusterDim.z;
}

/// The launches of one kernel, captured once from a stream. Keeps the source graph alive, because
/// the launches' parameters point into it.
///
/// Libraries set a counter in their workspace before each of their persistent kernels, which takes
/// as long as a small kernel. A workspace of a few bytes with such counters is therefore the
/// capture's own; they are set when it is made, and by programs after each use.
class CudaCapture final : public Capture {
 public:
  /// Takes ownership of `graph`. Error{kDevice} when it holds a kind of node that cannot be moved,
  /// {kUnsupported} when it copies from or to the host. `own`: memory that the launches work in.
  explicit CudaCapture(CUgraph graph, std::shared_ptr<CudaBuffer> own = nullptr,
                       std::vector<Reset> resets = {});
  ~CudaCapture() override;
  CudaCapture(const CudaCapture&) = delete;
  CudaCapture& operator=(const CudaCapture&) = delete;

  int num_launches() const override;
  bool has_state() const override { return !resets_.empty(); }
  std::vector<std::string> footprint() const override;
  /// What programs do after each use, and before any other.
  const std::vector<Reset>& resets() const { return resets_; }
  const std::vector<Launch>& launches() const { return launches_; }
  /// Launches that nothing in the list waits for.
  const std::vector<int>& sinks() const { return sinks_; }

 private:
  void read_nodes();

  CUgraph graph_ = nullptr;
  std::shared_ptr<CudaBuffer> own_;
  std::vector<Reset> resets_;
  std::vector<Launch> launches_;
  std::vector<int> sinks_;
};

/// Records `kernel` on the services' stream. A failure inside the capture is an Error, never a
/// graph with fewer kernels. Its own memory is set in the order of that stream.
std::unique_ptr<CudaCapture> capture_kernel(const Services& services, const Kernel& kernel,
                                            const Bindings& bindings, const FillKernels& kernels);

}  // namespace gacer::cuda
