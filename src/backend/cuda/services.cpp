#include "backend/cuda/services.h"

#include <algorithm>
#include <map>

#include "backend/cuda/build_queue.h"
#include "backend/cuda/check.h"
#include "backend/cuda/images.h"
#include "backend/cuda/packing.h"

namespace gacer::cuda {

CudaBuffer::CudaBuffer(const Context& context, std::size_t bytes)
    : context_(context), bytes_(bytes) {
  context.make_current();
  const CUresult result = cuMemAlloc(&address_, std::max<std::size_t>(bytes, 1));
  if (result == CUDA_ERROR_OUT_OF_MEMORY)
    fail(ErrorKind::kOutOfMemory, "{}",
         describe_lack_of_memory(fmt::format("{} bytes asked for", bytes)));
  check(result, "cuMemAlloc");
  context_.count_bytes(static_cast<std::ptrdiff_t>(bytes_));
}

CudaBuffer::~CudaBuffer() {
  cuCtxSetCurrent(context_.primary());  // the thread may be another than the one that allocated
  cuMemFree(address_);
  context_.count_bytes(-static_cast<std::ptrdiff_t>(bytes_));
}

struct Services::State {
  struct Packed {
    Tensor source;  ///< keeps the bytes, and with them the key, from being used anew
    std::weak_ptr<CudaBuffer> copy;
  };
  std::map<std::pair<const std::byte*, std::string>, Packed> packed;
  std::map<std::string, std::shared_ptr<const CompiledModule>, std::less<>> compiled;
  std::map<std::string, std::unique_ptr<Module>, std::less<>> own;
  WorkerPool workers;
  BuildQueue<std::shared_ptr<const CompiledModule>> ahead{workers};
};

Services::Services(Context& context, const Stream& stream)
    : context_(context), stream_(stream), state_(std::make_shared<State>()) {}

std::shared_ptr<CudaBuffer> Services::upload(std::span<const std::byte> bytes) const {
  std::shared_ptr<CudaBuffer> buffer = allocate(bytes.size());
  if (bytes.empty()) return buffer;
  GACER_CU(cuMemcpyHtoDAsync(reinterpret_cast<CUdeviceptr>(buffer->data()), bytes.data(),
                             bytes.size(), stream_.get()));
  stream_.synchronize();
  return buffer;
}

std::shared_ptr<CudaBuffer> Services::share(
    const Tensor& constant, const std::string& form,
    const std::function<std::shared_ptr<CudaBuffer>()>& make) const {
  auto& packed = state_->packed;
  std::erase_if(packed, [](const auto& entry) { return entry.second.copy.expired(); });
  State::Packed& entry = packed[{constant.bytes(), form}];
  if (std::shared_ptr<CudaBuffer> known = entry.copy.lock()) return known;
  std::shared_ptr<CudaBuffer> made = make();
  entry = {constant, made};
  return made;
}

std::shared_ptr<CudaBuffer> Services::upload_packed(
    const Tensor& constant, const std::string& form,
    const std::function<std::vector<std::byte>(const Tensor&)>& pack) const {
  return share(constant, form, [&] { return upload(pack(constant)); });
}

std::shared_ptr<CudaBuffer> Services::upload_as(const Tensor& constant, DType dtype) const {
  return share(constant, to_string(dtype), [&] {
    if (constant.dtype() == dtype)
      return upload(std::span(constant.bytes(), constant.size_bytes()));
    return upload(bytes_as(dtype, constant));
  });
}

std::shared_ptr<const CompiledModule> Services::compile(const std::string& source) const {
  auto& module = state_->compiled[source];
  if (module) return module;
  module = state_->ahead.take(source).value_or(nullptr);
  if (!module) module = compile_module(context_, source);
  return module;
}

void Services::compile_ahead(const std::string& source) const {
  if (const auto known = state_->compiled.find(source);
      known != state_->compiled.end() && known->second)
    return;
  state_->ahead.add(source,
                    [source, context = &context_] { return compile_module(*context, source); });
}

WorkerPool& Services::workers() const { return state_->workers; }

CUkernel Services::kernel(const char* file, const std::string& name) const {
  auto& module = state_->own[file];
  if (!module) module = std::make_unique<Module>(context_, find_image(file));
  return module->kernel(name.c_str());
}

}  // namespace gacer::cuda
