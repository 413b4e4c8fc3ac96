#pragma once

#include <memory>
#include <span>
#include <vector>

#include "device/device.h"

namespace gacer::testing {

/// The CPU in plain loops, for tests that change what a device does.
class ForwardingDevice : public Device {
 public:
  const DeviceInfo& info() const override { return cpu_->info(); }
  std::unique_ptr<Buffer> allocate(std::size_t bytes) override { return cpu_->allocate(bytes); }
  std::size_t free_bytes() const override { return cpu_->free_bytes(); }
  void upload(void* to, const void* from_host, std::size_t bytes) override {
    cpu_->upload(to, from_host, bytes);
  }
  void download(void* to_host, const void* from, std::size_t bytes) override {
    cpu_->download(to_host, from, bytes);
  }
  void copy(void* to, const void* from, std::size_t bytes) override { cpu_->copy(to, from, bytes); }
  void fill(void* to, unsigned char byte, std::size_t bytes) override {
    cpu_->fill(to, byte, bytes);
  }
  std::span<const KernelImpl* const> kernels() const override { return cpu_->kernels(); }
  Layout image_layout(Precision precision) const override { return cpu_->image_layout(precision); }
  std::vector<int> widths() const override { return cpu_->widths(); }
  bool is_width_fixed() const override { return cpu_->is_width_fixed(); }
  std::unique_ptr<Capture> capture(const Kernel& kernel, const Bindings& bindings) override {
    return cpu_->capture(kernel, bindings);
  }
  std::unique_ptr<Kernel> make_row_copy(const ByteRows& rows) const override {
    return cpu_->make_row_copy(rows);
  }
  std::unique_ptr<Kernel> make_row_comparison(const ByteRows& rows) const override {
    return cpu_->make_row_comparison(rows);
  }
  std::unique_ptr<Program> assemble(std::span<const ProgramStep> steps) override {
    return cpu_->assemble(steps);
  }
  double run_free(std::span<Program* const> programs, std::span<const int> repeats) override {
    return cpu_->run_free(programs, repeats);
  }

 private:
  std::unique_ptr<Device> cpu_ = open_device("cpu", "impl=plain");
};

}  // namespace gacer::testing
