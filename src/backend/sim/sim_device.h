#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "backend/sim/sim_kernel.h"
#include "device/device.h"
#include "profile/recording.h"

namespace gacer::sim {

/// A recorded device. Its info is the recorded one's, of kind "sim".
class SimDevice final : public Device {
 public:
  /// Error{kIo} for a file that is no recording, Error{kDevice} for an unknown layout in it.
  explicit SimDevice(Recording recording);

  const DeviceInfo& info() const override { return info_; }
  std::unique_ptr<Buffer> allocate(std::size_t bytes) override;
  void upload(void*, const void*, std::size_t) override {}
  /// Zeros.
  void download(void* to_host, const void* from, std::size_t bytes) override;
  void copy(void*, const void*, std::size_t) override {}
  void fill(void*, unsigned char, std::size_t) override {}
  std::size_t free_bytes() const override;

  std::span<const KernelImpl* const> kernels() const override { return kernel_list_; }
  Layout image_layout(Precision) const override { return image_layout_; }
  bool concats_in_place() const override { return recording_->concats_in_place; }
  std::vector<int> widths() const override { return recording_->widths; }
  bool is_width_fixed() const override { return recording_->is_width_fixed; }

  std::unique_ptr<Capture> capture(const Kernel& kernel, const Bindings& bindings) override;
  std::unique_ptr<Program> assemble(std::span<const ProgramStep> steps) override;
  /// Programs share all groups, as the operating system or the GPU would let them.
  double run_free(std::span<Program* const> programs, std::span<const int> repeats) override;

 private:
  std::shared_ptr<const Recording> recording_;
  DeviceInfo info_;
  Layout image_layout_ = Layout::kRowMajor;
  SimKernels kernels_;
  std::vector<const KernelImpl*> kernel_list_;
  std::shared_ptr<std::atomic<std::size_t>> allocated_;
};

}  // namespace gacer::sim
