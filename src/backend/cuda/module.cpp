#include "backend/cuda/module.h"

#include "backend/cuda/check.h"
#include "backend/cuda/code_cache.h"
#include "backend/cuda/nvrtc.h"

namespace gacer::cuda {
namespace {

void check_nvrtc(nvrtcResult result, const char* what) {
  if (result != NVRTC_SUCCESS)
    fail(ErrorKind::kDevice, "{} failed: {}", what, nvrtcGetErrorString(result));
}

class NvrtcProgram {
 public:
  explicit NvrtcProgram(const std::string& source) {
    check_nvrtc(nvrtcCreateProgram(&program_, source.c_str(), "gacer.cu", 0, nullptr, nullptr),
                "nvrtcCreateProgram");
  }
  ~NvrtcProgram() { nvrtcDestroyProgram(&program_); }
  NvrtcProgram(const NvrtcProgram&) = delete;
  NvrtcProgram& operator=(const NvrtcProgram&) = delete;
  nvrtcProgram get() const { return program_; }

 private:
  nvrtcProgram program_ = nullptr;
};

}  // namespace

Module::Module(const Context& context, const void* image) {
  context.make_current();
  GACER_CU(cuLibraryLoadData(&library_, image, nullptr, nullptr, 0, nullptr, nullptr, 0));
}

Module::~Module() { cuLibraryUnload(library_); }

CUkernel Module::kernel(const char* name) const {
  CUkernel kernel = nullptr;
  const CUresult result = cuLibraryGetKernel(&kernel, library_, name);
  require(result == CUDA_SUCCESS, "kernel '{}': {}", name, describe(result));
  return kernel;
}

namespace {

std::string compile(const std::string& source, const std::string& arch) {
  const NvrtcProgram program(source);
  const std::array<const char*, 2> options = {arch.c_str(), "--std=c++17"};
  const nvrtcResult result =
      nvrtcCompileProgram(program.get(), static_cast<int>(options.size()), options.data());
  if (result != NVRTC_SUCCESS) {
    std::size_t size = 0;
    check_nvrtc(nvrtcGetProgramLogSize(program.get(), &size), "nvrtcGetProgramLogSize");
    std::string log(size, '\0');
    check_nvrtc(nvrtcGetProgramLog(program.get(), log.data()), "nvrtcGetProgramLog");
    fail(ErrorKind::kInternal, "a generated kernel does not compile: {}\n{}", log, source);
  }
  std::size_t size = 0;
  check_nvrtc(nvrtcGetCUBINSize(program.get(), &size), "nvrtcGetCUBINSize");
  std::string image(size, '\0');
  check_nvrtc(nvrtcGetCUBIN(program.get(), image.data()), "nvrtcGetCUBIN");
  return image;
}

}  // namespace

std::shared_ptr<const CompiledModule> compile_module(const Context& context,
                                                     const std::string& source) {
  static const CodeCache cache(CodeCache::default_folder());
  const std::string arch = fmt::format("--gpu-architecture=sm_{}", context.compute_capability());
  int major = 0;
  int minor = 0;
  check_nvrtc(nvrtcVersion(&major, &minor), "nvrtcVersion");
  const std::string key = fmt::format("// nvrtc {}.{} {}\n{}", major, minor, arch, source);
  auto compiled = std::make_shared<CompiledModule>();
  if (std::optional<std::string> known = cache.find(key)) {
    compiled->image = std::move(*known);
  } else {
    compiled->image = compile(source, arch);
    cache.store(key, compiled->image);
  }
  compiled->module = std::make_unique<Module>(context, compiled->image.data());
  return compiled;
}

void allow_shared_bytes(const Context& context, CUkernel kernel, std::size_t bytes) {
  const CUresult result = cuKernelSetAttribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                               static_cast<int>(bytes), kernel, context.device());
  if (result == CUDA_ERROR_INVALID_VALUE)
    fail(ErrorKind::kUnsupported, "{} bytes of shared memory for a block: {}", bytes,
         describe(result));
  check(result, "cuKernelSetAttribute");
}

void launch_kernel(CUstream stream, CUkernel kernel, Grid grid, Grid block, unsigned shared_bytes,
                   void** arguments) {
  CUlaunchConfig config = {};
  config.gridDimX = grid.x;
  config.gridDimY = grid.y;
  config.gridDimZ = grid.z;
  config.blockDimX = block.x;
  config.blockDimY = block.y;
  config.blockDimZ = block.z;
  config.sharedMemBytes = shared_bytes;
  config.hStream = stream;
  CUlaunchAttribute cluster = {};
  cluster.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  cluster.value.clusterDim = {1, 1, grid.cluster};
  config.attrs = &cluster;
  config.numAttrs = grid.cluster > 1 ? 1 : 0;
  GACER_CU(cuLaunchKernelEx(&config, reinterpret_cast<CUfunction>(kernel), arguments, nullptr));
}

}  // namespace gacer::cuda
