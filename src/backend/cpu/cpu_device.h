#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backend/cpu/program.h"
#include "backend/cpu/workers.h"
#include "device/device.h"

namespace gacer::cpu {

/// What "impl=plain,threads=2" says.
struct CpuOptions {
  int threads = 0;  ///< 0: one per usable core
  bool plain_only = false;
};
/// Error{kUsage} names the option that is wrong and those that exist.
CpuOptions parse_options(const std::string& text);

/// The cores of this machine. Device memory is host memory.
class CpuDevice final : public Device {
 public:
  explicit CpuDevice(const CpuOptions& options);

  const DeviceInfo& info() const override;

  std::unique_ptr<Buffer> allocate(std::size_t bytes) override;
  void upload(void* to, const void* from_host, std::size_t bytes) override;
  void download(void* to_host, const void* from, std::size_t bytes) override;
  void copy(void* to, const void* from, std::size_t bytes) override;
  void fill(void* to, unsigned char byte, std::size_t bytes) override;
  std::size_t free_bytes() const override;

  std::string kernel_set() const override { return options_.plain_only ? "plain" : ""; }
  std::span<const KernelImpl* const> kernels() const override { return kernels_; }
  Layout image_layout(Precision precision) const override;
  std::vector<int> widths() const override;
  bool is_width_fixed() const override { return true; }

  std::unique_ptr<Capture> capture(const Kernel& kernel, const Bindings& bindings) override;
  std::unique_ptr<Kernel> make_row_copy(const ByteRows& rows) const override;
  std::unique_ptr<Kernel> make_row_comparison(const ByteRows& rows) const override;
  std::unique_ptr<Program> assemble(std::span<const ProgramStep> steps) override;
  double run_free(std::span<Program* const> programs, std::span<const int> repeats) override;

 private:
  CpuOptions options_;
  std::vector<int> cores_;
  mutable DeviceInfo info_;  ///< peaks are measured when first asked for
  mutable std::once_flag is_measured_;
  std::vector<const KernelImpl*> kernels_;
  std::shared_ptr<std::atomic<std::size_t>> allocated_;
  mutable std::unique_ptr<WorkerGroup> workers_;
  /// A group for each program of run_free, made when first needed; asleep otherwise.
  std::vector<std::unique_ptr<WorkerGroup>> free_groups_;
};

/// Name, cores and memory of this machine's CPU, without measurements.
DeviceInfo describe_cpu(int num_cores);

/// Best of a few runs on all workers: f32 matrix products (FLOP/s) and a triad (bytes/s).
double measure_peak_flops(WorkerGroup& workers);
double measure_peak_bandwidth(WorkerGroup& workers);

}  // namespace gacer::cpu
