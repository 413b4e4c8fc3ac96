// A libcuda.so.1 without a GPU, for tests of what the backend makes of graphs: memory is the
// host's, work on a stream is done at once, and a graph's nodes run one at a time, in an order
// drawn at random among those that its edges allow. Kernels are the backend's own, run on the CPU
// (simt.h), and two that tests bring; the device has 132 multiprocessors. What is not needed for
// that is missing here.

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <cuda.h>

#include "tests/backend/cuda/on_cpu/simt.h"

namespace {

using gacer::simt::Kernel;

constexpr int kMostShared = 227 << 10;       // bytes of a block
constexpr std::align_val_t kAlignment{256};  // of memory

/// tests/backend/cuda/tickets.h
void take(unsigned* counter, unsigned* tickets) {
  if (gacer::simt::place().thread.x == 0) ++tickets[(*counter)++ % 64];
}
/// When it ran, as a number that grows.
void stamp(unsigned* clock, unsigned* at) {
  if (gacer::simt::place().thread.x == 0) *at = ++*clock;
}
const gacer::simt::Registered registered_take("take", take);
const gacer::simt::Registered registered_stamp("stamp", stamp);

Kernel* kernel_named(const std::string& name) {
  auto& kernels = gacer::simt::kernels();
  const auto found = kernels.find(name);
  return found == kernels.end() ? nullptr : &found->second;
}

Kernel& kernel_of(const CUDA_KERNEL_NODE_PARAMS& params) {
  return *reinterpret_cast<Kernel*>(params.kern);
}

}  // namespace

struct CUgraphNode_st {
  CUgraph_st* graph = nullptr;
  CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
  CUDA_KERNEL_NODE_PARAMS kernel = {};
  std::vector<std::vector<char>> arguments;
  std::vector<void*> pointers;
  std::map<int, CUlaunchAttributeValue> attributes;
  CUDA_MEMSET_NODE_PARAMS memset = {};
  std::vector<std::pair<CUgraphNode, CUgraphEdgeData>> before;

  void set_kernel(const CUDA_KERNEL_NODE_PARAMS& params) {
    type = CU_GRAPH_NODE_TYPE_KERNEL;
    kernel = params;
    const Kernel& known = kernel_of(params);
    for (std::size_t i = 0; i < known.argument_bytes.size(); ++i) {
      const char* from = static_cast<const char*>(params.kernelParams[i]);
      arguments.emplace_back(from, from + known.argument_bytes[i]);
    }
    for (auto& bytes : arguments) pointers.push_back(bytes.data());
    kernel.kernelParams = pointers.data();
  }

  void run() {
    if (type == CU_GRAPH_NODE_TYPE_KERNEL) {
      gacer::simt::Launch launch;
      launch.grid = {kernel.gridDimX, kernel.gridDimY, kernel.gridDimZ};
      launch.block = {kernel.blockDimX, kernel.blockDimY, kernel.blockDimZ};
      launch.shared_bytes = kernel.sharedMemBytes;
      if (const auto cluster = attributes.find(CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION);
          cluster != attributes.end())
        launch.cluster = cluster->second.clusterDim.z;
      gacer::simt::run(launch, [this] { kernel_of(kernel).call(pointers.data()); });
    } else if (type == CU_GRAPH_NODE_TYPE_MEMSET) {
      auto* to = reinterpret_cast<unsigned char*>(memset.dst);
      for (std::size_t i = 0; i < memset.width * memset.elementSize; ++i)
        to[i] = static_cast<unsigned char>(memset.value >> (8 * (i % memset.elementSize)));
    }
  }
};

struct CUgraph_st {
  std::vector<std::unique_ptr<CUgraphNode_st>> nodes;

  CUgraphNode add(const CUgraphNode* before, std::size_t count) {
    nodes.push_back(std::make_unique<CUgraphNode_st>());
    nodes.back()->graph = this;
    for (std::size_t i = 0; i < count; ++i) nodes.back()->before.push_back({before[i], {}});
    return nodes.back().get();
  }
};

/// Nodes of a graph that is not changed any more.
struct CUgraphExec_st {
  std::vector<std::unique_ptr<CUgraphNode_st>> nodes;
  std::vector<std::vector<std::size_t>> before;
};

struct CUstream_st {
  CUgraph capture = nullptr;
  CUgraphNode last = nullptr;
};

namespace {

/// What goes wrong with every kernel that is put into a graph; see program_test.cpp.
enum class Fault { kNone, kNoKernel, kNoPriority, kNoContext };
Fault fault = Fault::kNone;

struct Event {
  float ms = 0;
};
float now_ms = 0;

/// Whether a node may get an edge from another: both are of one graph, and it has none.
bool may_add(CUgraphNode from, CUgraphNode to) {
  return from->graph == to->graph &&
         std::none_of(to->before.begin(), to->before.end(),
                      [&](const auto& edge) { return edge.first == from; });
}

CUresult add_node(CUgraphNode* made, CUgraph graph, const CUgraphNode* before, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (before[i]->graph != graph) return CUDA_ERROR_INVALID_VALUE;
    for (std::size_t j = 0; j < i; ++j)
      if (before[i] == before[j]) return CUDA_ERROR_INVALID_VALUE;
  }
  *made = graph->add(before, count);
  return CUDA_SUCCESS;
}

/// What a call on a capturing stream becomes.
CUgraphNode capture_on(CUstream stream) {
  stream->last = stream->capture->add(&stream->last, stream->last == nullptr ? 0 : 1);
  return stream->last;
}

void run_in_some_order(const CUgraphExec_st& exec) {
  static std::mt19937 random(1);
  std::vector<bool> has_run(exec.nodes.size(), false);
  for (std::size_t done = 0; done < exec.nodes.size(); ++done) {
    std::vector<std::size_t> ready;
    for (std::size_t i = 0; i < exec.nodes.size(); ++i)
      if (!has_run[i] && std::all_of(exec.before[i].begin(), exec.before[i].end(),
                                     [&](std::size_t b) { return has_run[b]; }))
        ready.push_back(i);
    const std::size_t next = ready[random() % ready.size()];
    has_run[next] = true;
    exec.nodes[next]->run();
    now_ms += 0.001F;
  }
}

/// visit(before, node, edge)
template <typename Visit>
void for_each_edge(const CUgraph_st& graph, const Visit& visit) {
  for (const auto& node : graph.nodes)
    for (const auto& [before, edge] : node->before) visit(before, node.get(), edge);
}

/// Whether a GPU would launch it.
bool may_launch(const CUlaunchConfig& config, const Kernel& kernel) {
  constexpr unsigned kMostAlongYZ = 65535;
  constexpr unsigned kMostCluster = 8;
  unsigned cluster = 1;
  for (unsigned i = 0; i < config.numAttrs; ++i)
    if (config.attrs[i].id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
      cluster = config.attrs[i].value.clusterDim.z;
  const unsigned threads = config.blockDimX * config.blockDimY * config.blockDimZ;
  return threads >= 1 && threads <= kernel.most_threads &&
         config.sharedMemBytes <= kernel.most_shared_bytes && config.gridDimX >= 1 &&
         config.gridDimX <= 0x7FFFFFFF && config.gridDimY >= 1 && config.gridDimY <= kMostAlongYZ &&
         config.gridDimZ >= 1 && config.gridDimZ <= kMostAlongYZ && cluster <= kMostCluster &&
         config.gridDimZ % cluster == 0;
}

template <typename T>
T* handle(std::uintptr_t value) {
  return reinterpret_cast<T*>(value);
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

void made_up_fault(int which) { fault = static_cast<Fault>(which); }

CUresult cuGetErrorName(CUresult, const char** name) { return *name = "made up", CUDA_SUCCESS; }
CUresult cuGetErrorString(CUresult, const char** text) { return *text = "made up", CUDA_SUCCESS; }
CUresult cuInit(unsigned) { return CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice* device, int) { return *device = 0, CUDA_SUCCESS; }
CUresult cuDeviceGetName(char* name, int size, CUdevice) {
  std::strncpy(name, "made up", static_cast<std::size_t>(size));
  return CUDA_SUCCESS;
}
CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute which, CUdevice) {
  switch (which) {
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
      return *value = 132, CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
      return *value = 9, CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
      return *value = kMostShared, CUDA_SUCCESS;
    default:
      return *value = 0, CUDA_SUCCESS;
  }
}
CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) {
  return *context = handle<CUctx_st>(1), CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRelease(CUdevice) { return CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext) { return CUDA_SUCCESS; }
CUresult cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return CUDA_SUCCESS;
}
CUresult cuDeviceGetDevResource(CUdevice, CUdevResource* resource, CUdevResourceType) {
  resource->sm.smCount = 132;
  return CUDA_SUCCESS;
}
CUresult cuDevSmResourceSplitByCount(CUdevResource* result, unsigned* count, const CUdevResource*,
                                     CUdevResource*, unsigned, unsigned size) {
  *count = 132 / size - 1;
  for (unsigned i = 0; result != nullptr && i < *count; ++i) result[i].sm.smCount = size;
  return CUDA_SUCCESS;
}
CUresult cuDevResourceGenerateDesc(CUdevResourceDesc* made, CUdevResource* first, unsigned count) {
  // Told apart by where it begins and how much it has.
  *made = reinterpret_cast<CUdevResourceDesc>(first + 1000UL * count);
  return CUDA_SUCCESS;
}
CUresult cuGreenCtxCreate(CUgreenCtx* made, CUdevResourceDesc description, CUdevice, unsigned) {
  return *made = reinterpret_cast<CUgreenCtx>(description), CUDA_SUCCESS;
}
CUresult cuGreenCtxDestroy(CUgreenCtx) { return CUDA_SUCCESS; }
CUresult cuCtxFromGreenCtx(CUcontext* made, CUgreenCtx green) {
  return *made = reinterpret_cast<CUcontext>(green), CUDA_SUCCESS;
}

CUresult cuMemAlloc(CUdeviceptr* made, std::size_t bytes) {
  return *made = reinterpret_cast<CUdeviceptr>(::operator new(bytes, kAlignment)), CUDA_SUCCESS;
}
CUresult cuMemFree(CUdeviceptr address) {
  return ::operator delete(reinterpret_cast<void*>(address), kAlignment), CUDA_SUCCESS;
}
CUresult cuMemGetInfo(std::size_t* free, std::size_t* total) {
  return *free = *total = std::size_t{1} << 40, CUDA_SUCCESS;
}
CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void* from, std::size_t bytes, CUstream) {
  return std::memcpy(reinterpret_cast<void*>(to), from, bytes), CUDA_SUCCESS;
}
CUresult cuMemcpyDtoHAsync(void* to, CUdeviceptr from, std::size_t bytes, CUstream) {
  return std::memcpy(to, reinterpret_cast<const void*>(from), bytes), CUDA_SUCCESS;
}
CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream) {
  return std::memcpy(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes),
         CUDA_SUCCESS;
}
CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, std::size_t bytes, CUstream) {
  return std::memset(reinterpret_cast<void*>(to), value, bytes), CUDA_SUCCESS;
}
CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, std::size_t count, CUstream stream) {
  CUgraphNode_st now;
  CUgraphNode node = stream->capture == nullptr ? &now : capture_on(stream);
  node->type = CU_GRAPH_NODE_TYPE_MEMSET;
  node->memset.dst = to;
  node->memset.elementSize = 4;
  node->memset.height = 1;
  node->memset.value = value;
  node->memset.width = count;
  if (stream->capture == nullptr) node->run();
  return CUDA_SUCCESS;
}

CUresult cuStreamCreate(CUstream* made, unsigned) { return *made = new CUstream_st, CUDA_SUCCESS; }
CUresult cuStreamDestroy(CUstream stream) { return delete stream, CUDA_SUCCESS; }
CUresult cuStreamSynchronize(CUstream) { return CUDA_SUCCESS; }
CUresult cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode) {
  stream->capture = new CUgraph_st;
  stream->last = nullptr;
  return CUDA_SUCCESS;
}
CUresult cuStreamEndCapture(CUstream stream, CUgraph* graph) {
  *graph = std::exchange(stream->capture, nullptr);
  return CUDA_SUCCESS;
}

CUresult cuEventCreate(CUevent* made, unsigned) {
  return *made = reinterpret_cast<CUevent>(new Event), CUDA_SUCCESS;
}
CUresult cuEventDestroy(CUevent event) {
  return delete reinterpret_cast<Event*>(event), CUDA_SUCCESS;
}
CUresult cuEventRecord(CUevent event, CUstream) {
  return reinterpret_cast<Event*>(event)->ms = now_ms, CUDA_SUCCESS;
}
CUresult cuEventElapsedTime(float* ms, CUevent begin, CUevent end) {
  return *ms = reinterpret_cast<Event*>(end)->ms - reinterpret_cast<Event*>(begin)->ms,
         CUDA_SUCCESS;
}

CUresult cuLibraryLoadData(CUlibrary* made, const void*, CUjit_option*, void**, unsigned,
                           CUlibraryOption*, void**, unsigned) {
  return *made = handle<CUlib_st>(1), CUDA_SUCCESS;
}
CUresult cuLibraryUnload(CUlibrary) { return CUDA_SUCCESS; }
CUresult cuLibraryGetKernel(CUkernel* made, CUlibrary, const char* name) {
  *made = reinterpret_cast<CUkernel>(kernel_named(name));
  return *made == nullptr ? CUDA_ERROR_NOT_FOUND : CUDA_SUCCESS;
}
CUresult cuKernelGetFunction(CUfunction* function, CUkernel kernel) {
  return *function = reinterpret_cast<CUfunction>(kernel), CUDA_SUCCESS;
}
CUresult cuKernelGetAttribute(int* value, CUfunction_attribute, CUkernel, CUdevice) {
  return *value = 0, CUDA_SUCCESS;
}
CUresult cuFuncGetAttribute(int* value, CUfunction_attribute, CUfunction) {
  return *value = 0, CUDA_SUCCESS;
}
CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction, int, std::size_t) {
  return *blocks = 1, CUDA_SUCCESS;
}
CUresult cuKernelSetAttribute(CUfunction_attribute which, int value, CUkernel kernel, CUdevice) {
  if (which != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value > kMostShared)
    return CUDA_ERROR_INVALID_VALUE;
  reinterpret_cast<Kernel*>(kernel)->most_shared_bytes = static_cast<std::size_t>(value);
  return CUDA_SUCCESS;
}
CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction kernel, void** arguments,
                          void**) {
  if (!may_launch(*config, *reinterpret_cast<Kernel*>(kernel))) return CUDA_ERROR_INVALID_VALUE;
  CUDA_KERNEL_NODE_PARAMS params = {};
  params.kern = reinterpret_cast<CUkernel>(kernel);
  params.gridDimX = config->gridDimX;
  params.gridDimY = config->gridDimY;
  params.gridDimZ = config->gridDimZ;
  params.blockDimX = config->blockDimX;
  params.blockDimY = config->blockDimY;
  params.blockDimZ = config->blockDimZ;
  params.sharedMemBytes = config->sharedMemBytes;
  params.kernelParams = arguments;
  CUgraphNode_st now;
  CUgraphNode node = config->hStream->capture == nullptr ? &now : capture_on(config->hStream);
  node->set_kernel(params);
  for (unsigned i = 0; i < config->numAttrs; ++i)
    node->attributes[config->attrs[i].id] = config->attrs[i].value;
  if (config->hStream->capture == nullptr) node->run();
  return CUDA_SUCCESS;
}

CUresult cuGraphCreate(CUgraph* made, unsigned) { return *made = new CUgraph_st, CUDA_SUCCESS; }
CUresult cuGraphDestroy(CUgraph graph) { return delete graph, CUDA_SUCCESS; }
CUresult cuGraphDestroyNode(CUgraphNode node) {
  auto& nodes = node->graph->nodes;
  for (auto& other : nodes)
    std::erase_if(other->before, [&](const auto& edge) { return edge.first == node; });
  std::erase_if(nodes, [&](const auto& other) { return other.get() == node; });
  return CUDA_SUCCESS;
}
CUresult cuGraphAddKernelNode(CUgraphNode* made, CUgraph graph, const CUgraphNode* before,
                              std::size_t count, const CUDA_KERNEL_NODE_PARAMS* params) {
  if (const CUresult result = add_node(made, graph, before, count); result != CUDA_SUCCESS)
    return result;
  if (fault == Fault::kNoKernel) return CUDA_SUCCESS;
  (*made)->set_kernel(*params);
  if (fault == Fault::kNoContext) (*made)->kernel.ctx = nullptr;
  return CUDA_SUCCESS;
}
CUresult cuGraphAddEventRecordNode(CUgraphNode* made, CUgraph graph, const CUgraphNode* before,
                                   std::size_t count, CUevent) {
  return add_node(made, graph, before, count);
}
CUresult cuGraphAddDependencies(CUgraph, const CUgraphNode* from, const CUgraphNode* to,
                                const CUgraphEdgeData* data, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (!may_add(from[i], to[i])) return CUDA_ERROR_INVALID_VALUE;
    to[i]->before.emplace_back(from[i], data == nullptr ? CUgraphEdgeData{} : data[i]);
  }
  return CUDA_SUCCESS;
}
CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode* nodes, std::size_t* count) {
  for (std::size_t i = 0; nodes != nullptr && i < graph->nodes.size(); ++i)
    nodes[i] = graph->nodes[i].get();
  return *count = graph->nodes.size(), CUDA_SUCCESS;
}
CUresult cuGraphGetEdges(CUgraph graph, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* data,
                         std::size_t* count) {
  *count = 0;
  for_each_edge(*graph, [&](CUgraphNode before, CUgraphNode node, const CUgraphEdgeData& edge) {
    if (from != nullptr) {
      from[*count] = before;
      to[*count] = node;
      data[*count] = edge;
    }
    ++*count;
  });
  return CUDA_SUCCESS;
}
CUresult cuGraphNodeGetType(CUgraphNode node, CUgraphNodeType* type) {
  return *type = node->type, CUDA_SUCCESS;
}
CUresult cuGraphNodeGetDependencies(CUgraphNode node, CUgraphNode* before, CUgraphEdgeData* data,
                                    std::size_t* count) {
  for (std::size_t i = 0; before != nullptr && i < node->before.size(); ++i)
    std::tie(before[i], data[i]) = node->before[i];
  return *count = node->before.size(), CUDA_SUCCESS;
}
CUresult cuGraphNodeGetDependentNodes(CUgraphNode node, CUgraphNode* after, CUgraphEdgeData* data,
                                      std::size_t* count) {
  *count = 0;
  for_each_edge(*node->graph,
                [&](CUgraphNode before, CUgraphNode other, const CUgraphEdgeData& edge) {
                  if (before != node) return;
                  if (after != nullptr)
                    std::tie(after[*count], data[*count]) = std::tie(other, edge);
                  ++*count;
                });
  return CUDA_SUCCESS;
}
CUresult cuGraphKernelNodeGetParams(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS* params) {
  return *params = node->kernel, CUDA_SUCCESS;
}
CUresult cuGraphKernelNodeGetAttribute(CUgraphNode node, CUkernelNodeAttrID id,
                                       CUkernelNodeAttrValue* value) {
  const auto found = node->attributes.find(id);
  if (found == node->attributes.end()) return CUDA_ERROR_INVALID_VALUE;
  return *value = found->second, CUDA_SUCCESS;
}
CUresult cuGraphKernelNodeSetAttribute(CUgraphNode node, CUkernelNodeAttrID id,
                                       const CUkernelNodeAttrValue* value) {
  node->attributes[id] = *value;
  if (fault == Fault::kNoPriority && id == CU_LAUNCH_ATTRIBUTE_PRIORITY)
    node->attributes[id].priority = 0;
  return CUDA_SUCCESS;
}
CUresult cuGraphMemsetNodeGetParams(CUgraphNode node, CUDA_MEMSET_NODE_PARAMS* params) {
  return *params = node->memset, CUDA_SUCCESS;
}
CUresult cuGraphInstantiateWithParams(CUgraphExec* made, CUgraph graph,
                                      CUDA_GRAPH_INSTANTIATE_PARAMS*) {
  auto exec = std::make_unique<CUgraphExec_st>();
  std::map<CUgraphNode, std::size_t> place;
  for (const auto& node : graph->nodes) {
    place[node.get()] = exec->nodes.size();
    auto copy = std::make_unique<CUgraphNode_st>();
    copy->type = node->type;
    copy->memset = node->memset;
    copy->attributes = node->attributes;
    if (node->type == CU_GRAPH_NODE_TYPE_KERNEL) copy->set_kernel(node->kernel);
    exec->nodes.push_back(std::move(copy));
  }
  for (const auto& node : graph->nodes) {
    std::vector<std::size_t>& before = exec->before.emplace_back();
    for (const auto& [other, edge] : node->before) before.push_back(place.at(other));
  }
  return *made = exec.release(), CUDA_SUCCESS;
}
CUresult cuGraphExecDestroy(CUgraphExec exec) { return delete exec, CUDA_SUCCESS; }
CUresult cuGraphUpload(CUgraphExec, CUstream) { return CUDA_SUCCESS; }
CUresult cuGraphLaunch(CUgraphExec exec, CUstream) {
  return run_in_some_order(*exec), CUDA_SUCCESS;
}

}  // extern "C"
#pragma GCC visibility pop
