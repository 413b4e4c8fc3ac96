// A device for kernel_test.cpp that has the backend's own kernels and a driver that runs them on
// the CPU: no libraries, no generated code.

#include <cstring>

#include "backend/cuda/capture.h"
#include "backend/cuda/check.h"
#include "backend/cuda/context.h"
#include "backend/cuda/kernel_list.h"
#include "backend/cuda/program.h"
#include "backend/cuda/services.h"
#include "tests/backend/cuda/node_run.h"

namespace gacer::testing {
namespace {

using namespace cuda;  // NOLINT: what it is made of

class OwnDevice final : public Device {
 public:
  OwnDevice() {
    info_.name = "the CPU, as a GPU";
    info_.kind = "cuda";
    info_.num_groups = context_.num_groups();
    for (const auto make :
         {make_thin_conv, make_split_conv, make_few_rows_conv, make_depthwise_conv,
          make_few_rows_matmul, make_attention, make_conv_transpose, make_pool, make_resize,
          make_rows, make_squeeze_excite, make_lrn})
      owned_.push_back(make(services_));
    for (const auto& kernel : owned_) kernels_.push_back(kernel.get());
  }
  const DeviceInfo& info() const override { return info_; }
  std::unique_ptr<Buffer> allocate(std::size_t bytes) override {
    return std::make_unique<CudaBuffer>(context_, bytes);
  }
  void upload(void* to, const void* from, std::size_t bytes) override {
    std::memcpy(to, from, bytes);
  }
  void download(void* to, const void* from, std::size_t bytes) override {
    std::memcpy(to, from, bytes);
  }
  void copy(void* to, const void* from, std::size_t bytes) override {
    std::memcpy(to, from, bytes);
  }
  void fill(void* to, unsigned char byte, std::size_t bytes) override {
    std::memset(to, byte, bytes);
  }
  std::size_t free_bytes() const override { return std::size_t{1} << 40; }
  std::size_t allocated_bytes() const override { return context_.allocated_bytes(); }
  std::span<const KernelImpl* const> kernels() const override { return kernels_; }
  Layout image_layout(Precision) const override { return Layout::kChannelsLast; }
  std::vector<int> widths() const override { return {info_.num_groups}; }
  bool is_width_fixed() const override { return false; }
  double run_free(std::span<Program* const>, std::span<const int>) override { return 0; }
  std::unique_ptr<Capture> capture(const Kernel& kernel, const Bindings& bindings) override {
    return capture_kernel(services_, kernel, bindings, fill_);
  }
  std::unique_ptr<Program> assemble(std::span<const ProgramStep> steps) override {
    return std::make_unique<CudaProgram>(context_, stream_, steps, fill_.reset);
  }

 private:
  Context context_{0};
  Stream stream_{context_};
  Services services_{context_, stream_};
  FillKernels fill_{services_.kernel("fill", "fill"), services_.kernel("fill", "reset")};
  DeviceInfo info_;
  std::vector<std::unique_ptr<KernelImpl>> owned_;
  std::vector<const KernelImpl*> kernels_;
};

}  // namespace

Device* cuda_device(std::string* /*reason*/) {
  static OwnDevice device;
  return &device;
}

bool has_libraries() { return false; }

}  // namespace gacer::testing
