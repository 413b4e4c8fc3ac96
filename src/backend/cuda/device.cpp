#include "device/device.h"

#include <algorithm>
#include <charconv>
#include <future>

#include "backend/cuda/blas.h"
#include "backend/cuda/capture.h"
#include "backend/cuda/check.h"
#include "backend/cuda/context.h"
#include "backend/cuda/dnn_plan.h"
#include "backend/cuda/images.h"
#include "backend/cuda/program.h"
#include "backend/cuda/row_check.h"
#include "backend/cuda/services.h"

namespace gacer::cuda {

namespace {

CUdeviceptr address(const void* pointer) { return reinterpret_cast<CUdeviceptr>(pointer); }

/// Opens large libraries while the driver makes its context; who calls them says what is missing.
std::future<void> open_libraries() {
  return std::async(std::launch::async | std::launch::deferred, [] {
    dnn_library().error();
    blas_library().error();
  });
}

/// Error{kDevice} when one of them is missing.
void add_libraries(DeviceInfo& info) {
  info.libraries["cudnn"] = Dnn::version();
  info.libraries["cublaslt"] = std::to_string(cublasLtGetVersion());
}

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(int ordinal)
      : context_(ordinal),
        stream_(context_),
        services_(context_, stream_),
        fill_{services_.kernel("fill", "fill"), services_.kernel("fill", "reset")},
        info_(describe_device(ordinal)) {
    info_.num_groups = std::max(1, context_.num_groups());
    info_.units_per_group = context_.sms_per_group();
    add_libraries(info_);
    owned_ = make_kernels(services_);
    for (const auto& kernel : owned_) kernels_.push_back(kernel.get());
  }

  const DeviceInfo& info() const override { return info_; }

  std::unique_ptr<Buffer> allocate(std::size_t bytes) override {
    return std::make_unique<CudaBuffer>(context_, bytes);
  }
  void upload(void* to, const void* from_host, std::size_t bytes) override {
    context_.make_current();
    GACER_CU(cuMemcpyHtoDAsync(address(to), from_host, bytes, stream_.get()));
    stream_.synchronize();
  }
  void download(void* to_host, const void* from, std::size_t bytes) override {
    context_.make_current();
    GACER_CU(cuMemcpyDtoHAsync(to_host, address(from), bytes, stream_.get()));
    stream_.synchronize();
  }
  void copy(void* to, const void* from, std::size_t bytes) override {
    context_.make_current();
    GACER_CU(cuMemcpyDtoDAsync(address(to), address(from), bytes, stream_.get()));
    stream_.synchronize();
  }
  void fill(void* to, unsigned char byte, std::size_t bytes) override {
    context_.make_current();
    GACER_CU(cuMemsetD8Async(address(to), byte, bytes, stream_.get()));
    stream_.synchronize();
  }
  std::size_t free_bytes() const override {
    context_.make_current();
    std::size_t free = 0;
    std::size_t total = 0;
    GACER_CU(cuMemGetInfo(&free, &total));
    return free;
  }

  std::size_t allocated_bytes() const override { return context_.allocated_bytes(); }

  bool is_usable() override {
    return cuCtxSetCurrent(context_.primary()) == CUDA_SUCCESS &&
           cuCtxSynchronize() == CUDA_SUCCESS;
  }

  std::span<const KernelImpl* const> kernels() const override { return kernels_; }
  /// Tensor cores want neighbouring channels; exact f32 runs on kernels for whole planes.
  Layout image_layout(Precision precision) const override {
    return precision == Precision::kF32 ? Layout::kRowMajor : Layout::kChannelsLast;
  }
  bool concats_in_place() const override { return true; }
  std::vector<int> widths() const override {
    // The whole device, half and a quarter: what is grid-limited is sought for these. Others are in
    // solo_widths().
    std::vector<int> widths;
    for (const int share : {1, 2, 4}) {
      const int width = std::max(1, info_.num_groups / share);
      if (widths.empty() || widths.back() != width) widths.push_back(width);
    }
    return widths;
  }
  bool is_width_fixed() const override { return false; }
  bool compiles_variants() const override { return true; }
  std::string kernel_set() const override { return std::string(kernel_digest()); }
  void stop_building() override { services_.workers().drop(); }
  DeviceTiming timing() const override {
    // Its own clock times it, and there are many variants.
    DeviceTiming timing;
    timing.variant = std::chrono::milliseconds(3);
    timing.repeat_close = false;
    timing.turn = std::chrono::milliseconds(50);
    timing.repeats = std::chrono::milliseconds(20);
    timing.plan_repeats = std::chrono::milliseconds(500);
    return timing;
  }
  std::vector<int> solo_widths() const override {
    const std::vector<int> measured = widths();
    std::vector<int> widths;
    for (const int sms : {96, 72, 48, 24, 8}) {
      const int width = sms / info_.units_per_group;
      if (width < 1 || width >= info_.num_groups) continue;
      if (std::find(measured.begin(), measured.end(), width) == measured.end())
        widths.push_back(width);
    }
    return widths;
  }

  std::unique_ptr<Capture> capture(const Kernel& kernel, const Bindings& bindings) override {
    context_.make_current();
    return capture_kernel(services_, kernel, bindings, fill_);
  }
  std::unique_ptr<Kernel> make_row_copy(const ByteRows& rows) const override {
    return cuda::make_row_copy(services_, rows);
  }
  std::unique_ptr<Kernel> make_row_comparison(const ByteRows& rows) const override {
    return cuda::make_row_comparison(services_, rows);
  }
  std::unique_ptr<Program> assemble(std::span<const ProgramStep> steps) override {
    return std::make_unique<CudaProgram>(context_, stream_, steps, fill_.reset);
  }
  double run_free(std::span<Program* const> programs, std::span<const int> repeats) override;

 private:
  Context context_;
  Stream stream_;
  Services services_;
  FillKernels fill_;
  DeviceInfo info_;
  std::vector<std::unique_ptr<KernelImpl>> owned_;
  std::vector<const KernelImpl*> kernels_;
  std::vector<std::unique_ptr<Stream>> free_streams_;
};

double CudaDevice::run_free(std::span<Program* const> programs, std::span<const int> repeats) {
  context_.make_current();
  while (free_streams_.size() < programs.size())
    free_streams_.push_back(std::make_unique<Stream>(context_));
  Event begin;
  Event end;
  std::vector<std::unique_ptr<Event>> done;
  begin.record(stream_);
  for (std::size_t i = 0; i < programs.size(); ++i) {
    const Stream& stream = *free_streams_[i];
    GACER_CU(cuStreamWaitEvent(stream.get(), begin.get(), 0));
    for (int n = 0; n < repeats[i]; ++n)
      static_cast<CudaProgram*>(programs[i])->launch(stream.get());
    done.push_back(std::make_unique<Event>());
    done.back()->record(stream);
    GACER_CU(cuStreamWaitEvent(stream_.get(), done.back()->get(), 0));
  }
  end.record(stream_);
  stream_.synchronize();
  return end.since(begin);
}

std::vector<DeviceInfo> find_devices() {
  std::vector<DeviceInfo> devices;
  const int count = count_devices();
  for (int i = 0; i < count; ++i) {
    // What is missing is told to whoever opens it.
    try {
      devices.push_back(describe_device(i));
      add_libraries(devices.back());
    } catch (const Error&) {
    }
  }
  return devices;
}

std::unique_ptr<Device> open(const std::string& spec, const std::string& options) {
  int ordinal = 0;
  if (!spec.empty()) {
    const auto [end, code] = std::from_chars(spec.data(), spec.data() + spec.size(), ordinal);
    if (code != std::errc{} || end != spec.data() + spec.size() || ordinal < 0)
      fail(ErrorKind::kUsage, "'cuda:{}' is not a device; write cuda:0, cuda:1, …", spec);
  }
  if (!options.empty()) fail(ErrorKind::kUsage, "the cuda backend knows no option '{}'", options);
  std::string reason;
  const int count = count_devices(&reason);
  if (ordinal >= count)
    fail(ErrorKind::kDevice, "there is no device cuda:{}; {} found ({})", ordinal, count, reason);
  const std::future<void> libraries = open_libraries();
  return std::make_unique<CudaDevice>(ordinal);
}

}  // namespace
}  // namespace gacer::cuda

namespace gacer {

const Backend& backend_cuda();
const Backend& backend_cuda() {
  static const Backend backend{"cuda", cuda::find_devices, cuda::open};
  return backend;
}

}  // namespace gacer
