#include "backend/cuda/capture.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "backend/cuda/check.h"
#include "backend/cuda/module.h"
#include "backend/cuda/owner.h"

namespace gacer::cuda {
namespace {

/// Everything that shapes a launch and does not belong to a context.
constexpr std::array kCopiedAttributes = {CU_LAUNCH_ATTRIBUTE_COOPERATIVE,
                                          CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
                                          CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE,
                                          CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT};

bool is_default(CUlaunchAttributeID id, const CUlaunchAttributeValue& value) {
  switch (id) {
    case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
      return value.cooperative == 0;
    case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
      return count_blocks(value) <= 1;
    case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
      return value.clusterSchedulingPolicyPreference == CU_CLUSTER_SCHEDULING_POLICY_DEFAULT;
    case CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
      // A launch that never set it reads as 0, which set on a node would leave a multiprocessor
      // next to no shared memory: room for one block.
      return value.sharedMemCarveout <= 0;
    default:
      return false;
  }
}

Launch read_kernel(CUgraphNode node) {
  Launch launch;
  launch.kind = Launch::Kind::kKernel;
  GACER_CU(cuGraphKernelNodeGetParams(node, &launch.kernel));
  launch.function = launch.kernel.func;
  for (CUlaunchAttributeID id : kCopiedAttributes) {
    CUlaunchAttributeValue value = {};
    // An attribute that the launch never set reads as its default or as "invalid value".
    const CUresult result = cuGraphKernelNodeGetAttribute(node, id, &value);
    if (result == CUDA_ERROR_INVALID_VALUE || result == CUDA_ERROR_NOT_SUPPORTED) continue;
    check(result, "cuGraphKernelNodeGetAttribute");
    if (!is_default(id, value)) launch.attributes.emplace_back(id, value);
  }
  return launch;
}

/// Error{kUnsupported} unless it is memory of the device: what a library copied from its own stack
/// would be read again in every round.
void require_on_device(CUmemorytype type, CUdeviceptr address) {
  if (type == CU_MEMORYTYPE_UNIFIED) {
    unsigned found = CU_MEMORYTYPE_HOST;
    // A pointer that the driver does not know is the host's.
    if (cuPointerGetAttribute(&found, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address) != CUDA_SUCCESS)
      found = CU_MEMORYTYPE_HOST;
    type = static_cast<CUmemorytype>(found);
  }
  if (type == CU_MEMORYTYPE_HOST)
    fail(ErrorKind::kUnsupported, "a captured kernel copies from or to the host");
}

Launch read_node(CUgraphNode node) {
  CUgraphNodeType type = CU_GRAPH_NODE_TYPE_KERNEL;
  GACER_CU(cuGraphNodeGetType(node, &type));
  if (type == CU_GRAPH_NODE_TYPE_KERNEL) return read_kernel(node);
  Launch launch;
  if (type == CU_GRAPH_NODE_TYPE_MEMSET) {
    launch.kind = Launch::Kind::kMemset;
    GACER_CU(cuGraphMemsetNodeGetParams(node, &launch.memset));
  } else if (type == CU_GRAPH_NODE_TYPE_MEMCPY) {
    launch.kind = Launch::Kind::kMemcpy;
    GACER_CU(cuGraphMemcpyNodeGetParams(node, &launch.memcpy));
    require_on_device(launch.memcpy.srcMemoryType, launch.memcpy.srcDevice);
    require_on_device(launch.memcpy.dstMemoryType, launch.memcpy.dstDevice);
  } else {
    fail(ErrorKind::kDevice,
         "a captured kernel holds a graph node of type {}; kernels, memory sets and copies can be "
         "moved into a program",
         static_cast<int>(type));
  }
  return launch;
}

std::vector<CUgraphNode> list_nodes(CUgraph graph) {
  std::size_t count = 0;
  GACER_CU(cuGraphGetNodes(graph, nullptr, &count));
  std::vector<CUgraphNode> nodes(count);
  GACER_CU(cuGraphGetNodes(graph, nodes.data(), &count));
  return nodes;
}

/// Four bytes that a memory set repeats.
unsigned pattern_of(const CUDA_MEMSET_NODE_PARAMS& set) {
  const unsigned repeats = set.elementSize == 1 ? 0x01010101U : set.elementSize == 2 ? 0x10001U : 1;
  const unsigned mask = set.elementSize == 1 ? 0xFFU : set.elementSize == 2 ? 0xFFFFU : ~0U;
  return (set.value & mask) * repeats;
}

bool is_memory_set(CUgraphNode node) {
  CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
  GACER_CU(cuGraphNodeGetType(node, &type));
  return type == CU_GRAPH_NODE_TYPE_MEMSET;
}

bool waits_for_nothing(CUgraphNode node) {
  std::size_t count = 0;
  GACER_CU(cuGraphNodeGetDependencies(node, nullptr, nullptr, &count));
  return count == 0;
}

bool overlap(const Reset& a, const Reset& b) {
  const auto begin = [](const Reset& reset) { return reinterpret_cast<std::uintptr_t>(reset.to); };
  return begin(a) < begin(b) + b.bytes && begin(b) < begin(a) + a.bytes;
}

/// The memory set as a reset, where it sets nothing but some of `memory`.
std::optional<Reset> reset_of(CUgraphNode node, const CudaBuffer& memory) {
  CUDA_MEMSET_NODE_PARAMS set = {};
  GACER_CU(cuGraphMemsetNodeGetParams(node, &set));
  const auto begin = reinterpret_cast<std::uintptr_t>(memory.data());
  const std::size_t bytes = set.elementSize * set.width;
  const bool is_inside =
      set.dst >= begin && bytes <= memory.size() && set.dst - begin <= memory.size() - bytes;
  if (!is_inside || set.height != 1) return std::nullopt;
  return Reset{reinterpret_cast<void*>(set.dst), static_cast<unsigned>(bytes), pattern_of(set)};
}

CUgraphNode add_fill(CUgraph graph, const CUDA_MEMSET_NODE_PARAMS& set, CUkernel fill) {
  FillArgs args;
  args.to = reinterpret_cast<void*>(set.dst);
  args.pitch = set.pitch;
  args.row_bytes = static_cast<unsigned long long>(set.elementSize) * set.width;
  args.pattern = pattern_of(set);

  constexpr unsigned kThreads = 256;
  constexpr unsigned long long kBytesPerBlock = 16 * kThreads;
  constexpr unsigned long long kMostBlocks = 1024;
  void* arguments[] = {&args};
  CUDA_KERNEL_NODE_PARAMS params = {};
  params.kern = fill;
  params.gridDimX = static_cast<unsigned>(
      std::clamp<unsigned long long>(args.row_bytes / kBytesPerBlock, 1, kMostBlocks));
  params.gridDimY = static_cast<unsigned>(set.height);
  params.gridDimZ = 1;
  params.blockDimX = kThreads;
  params.blockDimY = 1;
  params.blockDimZ = 1;
  params.kernelParams = arguments;  // the node copies them
  CUgraphNode node = nullptr;
  GACER_CU(cuGraphAddKernelNode(&node, graph, nullptr, 0, &params));
  return node;
}

/// Gives `to` the edges of `from`.
void move_edges(CUgraph graph, CUgraphNode from, CUgraphNode to) {
  for (const bool is_incoming : {true, false}) {
    const auto& list = is_incoming ? cuGraphNodeGetDependencies : cuGraphNodeGetDependentNodes;
    std::size_t count = 0;
    GACER_CU(list(from, nullptr, nullptr, &count));
    if (count == 0) continue;
    std::vector<CUgraphNode> others(count);
    std::vector<CUgraphEdgeData> data(count);
    GACER_CU(list(from, others.data(), data.data(), &count));
    const std::vector<CUgraphNode> same(count, to);
    GACER_CU(cuGraphAddDependencies(graph, (is_incoming ? others : same).data(),
                                    (is_incoming ? same : others).data(), data.data(), count));
  }
}

}  // namespace

void replace_memory_sets(CUgraph graph, CUkernel fill) {
  for (CUgraphNode node : list_nodes(graph)) {
    if (!is_memory_set(node)) continue;
    CUDA_MEMSET_NODE_PARAMS set = {};
    GACER_CU(cuGraphMemsetNodeGetParams(node, &set));
    if (set.height < 1 || set.height > kMostBlocksYZ) continue;
    move_edges(graph, node, add_fill(graph, set, fill));
    GACER_CU(cuGraphDestroyNode(node));
  }
}

ResetArgs args_of(std::span<const Reset> resets) {
  ResetArgs args;
  std::copy(resets.begin(), resets.end(), args.resets);
  return args;
}

std::vector<Reset> take_resets(CUgraph graph, const CudaBuffer& memory) {
  std::vector<Reset> resets;
  // What waited for one that is taken may then wait for nothing.
  for (bool has_taken = true; has_taken;) {
    has_taken = false;
    for (CUgraphNode node : list_nodes(graph)) {
      if (!is_memory_set(node) || !waits_for_nothing(node)) continue;
      const std::optional<Reset> reset = reset_of(node, memory);
      if (!reset || resets.size() == kMostResets ||
          std::any_of(resets.begin(), resets.end(),
                      [&](const Reset& other) { return overlap(*reset, other); }))
        continue;
      resets.push_back(*reset);
      GACER_CU(cuGraphDestroyNode(node));
      has_taken = true;
      break;
    }
  }
  return resets;
}

CudaCapture::CudaCapture(CUgraph graph, std::shared_ptr<CudaBuffer> own, std::vector<Reset> resets)
    : graph_(graph), own_(std::move(own)), resets_(std::move(resets)) {
  try {
    read_nodes();
  } catch (...) {
    cuGraphDestroy(graph_);
    throw;
  }
}

CudaCapture::~CudaCapture() { cuGraphDestroy(graph_); }

void CudaCapture::read_nodes() {
  const std::vector<CUgraphNode> nodes = list_nodes(graph_);
  std::size_t num_edges = 0;
  GACER_CU(cuGraphGetEdges(graph_, nullptr, nullptr, nullptr, &num_edges));
  std::vector<CUgraphNode> from(num_edges);
  std::vector<CUgraphNode> to(num_edges);
  std::vector<CUgraphEdgeData> data(num_edges);
  if (num_edges > 0)
    GACER_CU(cuGraphGetEdges(graph_, from.data(), to.data(), data.data(), &num_edges));

  // The driver lists nodes in no promised order: emit each after all that it waits for.
  std::map<CUgraphNode, std::vector<std::size_t>> incoming;
  for (std::size_t e = 0; e < num_edges; ++e) incoming[to[e]].push_back(e);
  std::map<CUgraphNode, int> index;
  while (index.size() < nodes.size()) {
    const std::size_t before = index.size();
    for (CUgraphNode node : nodes) {
      if (index.count(node) != 0) continue;
      bool is_ready = true;
      for (std::size_t e : incoming[node]) is_ready = is_ready && index.count(from[e]) != 0;
      if (!is_ready) continue;
      Launch launch = read_node(node);
      for (std::size_t e : incoming[node]) launch.waits_for.emplace_back(index[from[e]], data[e]);
      index[node] = static_cast<int>(launches_.size());
      launches_.push_back(std::move(launch));
    }
    require(index.size() > before, "a captured graph has a cycle");
  }

  std::vector<bool> has_reader(launches_.size(), false);
  for (const Launch& launch : launches_)
    for (const auto& [earlier, edge] : launch.waits_for)
      has_reader[static_cast<std::size_t>(earlier)] = true;
  for (std::size_t i = 0; i < launches_.size(); ++i)
    if (!has_reader[i]) sinks_.push_back(static_cast<int>(i));
}

int CudaCapture::num_launches() const {
  int count = 0;
  for (const Launch& launch : launches_)
    if (launch.kind == Launch::Kind::kKernel) ++count;
  return count;
}

std::vector<std::string> CudaCapture::footprint() const {
  std::vector<std::string> lines;
  for (const Launch& launch : launches_) {
    if (launch.kind != Launch::Kind::kKernel) {
      lines.emplace_back(launch.kind == Launch::Kind::kMemset ? "memset" : "memcpy");
      continue;
    }
    const CUDA_KERNEL_NODE_PARAMS& p = launch.kernel;
    int registers = 0;
    int static_shared = 0;
    CUfunction function = launch.function;
    if (function == nullptr && p.kern != nullptr) GACER_CU(cuKernelGetFunction(&function, p.kern));
    if (function != nullptr) {
      GACER_CU(cuFuncGetAttribute(&registers, CU_FUNC_ATTRIBUTE_NUM_REGS, function));
      GACER_CU(cuFuncGetAttribute(&static_shared, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, function));
    }
    std::string line =
        fmt::format("grid {}x{}x{} block {} smem {} regs {}", p.gridDimX, p.gridDimY, p.gridDimZ,
                    p.blockDimX * p.blockDimY * p.blockDimZ,
                    p.sharedMemBytes + static_cast<unsigned>(static_shared), registers);
    for (const auto& [id, value] : launch.attributes) {
      if (id == CU_LAUNCH_ATTRIBUTE_COOPERATIVE) line += " cooperative";
      if (id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
        line += fmt::format(" cluster {}", count_blocks(value));
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

namespace {

GraphOwner record(const CUstream stream, const Kernel& kernel, const Bindings& bindings) {
  // Relaxed: a library may load a kernel on its first call, which the other modes forbid.
  GACER_CU(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
  CUgraph graph = nullptr;
  try {
    CudaRecorder recorder(stream);
    kernel.record(bindings, recorder);
  } catch (...) {
    cuStreamEndCapture(stream, &graph);
    if (graph != nullptr) cuGraphDestroy(graph);
    throw;
  }
  GACER_CU(cuStreamEndCapture(stream, &graph));
  require(graph != nullptr, "a capture ended without a graph");
  return GraphOwner(graph);
}

/// On memory of its own; null when that has no counters to reset.
std::unique_ptr<CudaCapture> capture_with_counters(const Services& services, const Kernel& kernel,
                                                   Bindings bindings, const FillKernels& kernels) {
  const CUstream stream = services.stream().get();
  constexpr unsigned char kPoison = 0xFF;
  auto own = services.allocate(kernel.workspace_bytes());
  GACER_CU(
      cuMemsetD8Async(reinterpret_cast<CUdeviceptr>(own->data()), kPoison, own->size(), stream));
  bindings.workspace = own->data();
  GraphOwner graph = record(stream, kernel, bindings);
  std::vector<Reset> resets = take_resets(graph.get(), *own);
  if (resets.empty()) return nullptr;
  replace_memory_sets(graph.get(), kernels.fill);
  launch(stream, kernels.reset, {static_cast<unsigned>(resets.size())}, {kResetThreads}, 0,
         args_of(resets));
  return std::make_unique<CudaCapture>(graph.release(), std::move(own), std::move(resets));
}

}  // namespace

std::unique_ptr<CudaCapture> capture_kernel(const Services& services, const Kernel& kernel,
                                            const Bindings& bindings, const FillKernels& kernels) {
  constexpr std::size_t kMostOwnBytes = 4096;
  if (kernel.workspace_bytes() > 0 && kernel.workspace_bytes() <= kMostOwnBytes)
    if (auto capture = capture_with_counters(services, kernel, bindings, kernels)) return capture;
  GraphOwner graph = record(services.stream().get(), kernel, bindings);
  replace_memory_sets(graph.get(), kernels.fill);
  return std::make_unique<CudaCapture>(graph.release());
}

}  // namespace gacer::cuda
