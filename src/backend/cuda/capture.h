#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/cuda/context.h"
#include "backend/cuda/driver.h"
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

/// Makes kernels of a captured graph's memory sets: a program that holds nothing but kernels starts
/// several times faster, and a kernel keeps to its step's SM set. `fill`: kernels/fill.cu.
void replace_memory_sets(CUgraph graph, CUkernel fill);

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
class CudaCapture final : public Capture {
 public:
  /// Takes ownership of `graph`. Error{kDevice} when it holds a kind of node that cannot be moved,
  /// {kUnsupported} when it copies from or to the host.
  explicit CudaCapture(CUgraph graph);
  ~CudaCapture() override;
  CudaCapture(const CudaCapture&) = delete;
  CudaCapture& operator=(const CudaCapture&) = delete;

  int num_launches() const override;
  std::vector<std::string> footprint() const override;
  const std::vector<Launch>& launches() const { return launches_; }
  /// Launches that nothing in the list waits for.
  const std::vector<int>& sinks() const { return sinks_; }

 private:
  void read_nodes();

  CUgraph graph_ = nullptr;
  std::vector<Launch> launches_;
  std::vector<int> sinks_;
};

/// Records `kernel` on a capturing stream. A failure inside the capture is an Error, never a graph
/// with fewer kernels. `fill`: see replace_memory_sets().
std::unique_ptr<CudaCapture> capture_kernel(const Stream& stream, const Kernel& kernel,
                                            const Bindings& bindings, CUkernel fill);

}  // namespace gacer::cuda
