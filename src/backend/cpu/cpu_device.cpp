#include "backend/cpu/cpu_device.h"

#include <sys/mman.h>

#include <cstring>

#include <fmt/format.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/openmp_hooks.h"
#include "backend/cpu/recorder.h"
#include "backend/cpu/row_check.h"
#include "backend/cpu/system.h"
#include "base/error.h"

namespace gacer::cpu {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

/// Whole pages straight from the system: given back when freed, huge where that pays.
class HostBuffer final : public Buffer {
 public:
  HostBuffer(void* data, std::size_t size, std::shared_ptr<std::atomic<std::size_t>> allocated)
      : data_(data), size_(size), allocated_(std::move(allocated)) {
    *allocated_ += mapped_size(size_);
  }
  ~HostBuffer() override {
    munmap(data_, mapped_size(size_));
    *allocated_ -= mapped_size(size_);
  }
  HostBuffer(const HostBuffer&) = delete;
  HostBuffer& operator=(const HostBuffer&) = delete;

  void* data() const override { return data_; }
  std::size_t size() const override { return size_; }

  static std::size_t mapped_size(std::size_t size) {
    return (std::max<std::size_t>(size, 1) + kPage - 1) / kPage * kPage;
  }

 private:
  void* data_;
  std::size_t size_;
  std::shared_ptr<std::atomic<std::size_t>> allocated_;
};

}  // namespace

CpuOptions parse_options(const std::string& text) {
  CpuOptions options;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string entry = text.substr(begin, end - begin);
    begin = end + 1;
    if (entry == "impl=plain") {
      options.plain_only = true;
    } else if (entry == "impl=all") {
      options.plain_only = false;
    } else if (entry.starts_with("threads=")) {
      const std::string value = entry.substr(8);
      const bool is_number = !value.empty() && value.size() <= 4 &&
                             value.find_first_not_of("0123456789") == std::string::npos;
      options.threads = is_number ? std::stoi(value) : 0;
      const auto num_cores = static_cast<int>(usable_cores().size());
      if (options.threads < 1 || options.threads > num_cores)
        fail(ErrorKind::kUsage, "device option '{}': this process may use 1 to {} cores", entry,
             num_cores);
    } else {
      fail(ErrorKind::kUsage,
           "unknown device option '{}'; the CPU has: impl=plain, impl=all, threads=N", entry);
    }
  }
  return options;
}

CpuDevice::CpuDevice(const CpuOptions& options)
    : options_(options),
      cores_(usable_cores()),
      allocated_(std::make_shared<std::atomic<std::size_t>>(0)) {
  install_openmp_hooks();
  if (options_.threads > 0) cores_.resize(static_cast<std::size_t>(options_.threads));
  info_ = describe_cpu(static_cast<int>(cores_.size()));
  workers_ = std::make_unique<WorkerGroup>(static_cast<int>(cores_.size()),
                                           WorkerOptions{.cores = cores_});
  if (options_.plain_only)
    kernels_ = {&plain_kernel()};
  else
    kernels_ = all_kernels();
}

const DeviceInfo& CpuDevice::info() const {
  std::call_once(is_measured_, [this] {
    info_.peak_flops = measure_peak_flops(*workers_);
    info_.peak_bandwidth = measure_peak_bandwidth(*workers_);
  });
  return info_;
}

std::size_t CpuDevice::free_bytes() const {
  // Pages that nobody has touched yet are not missing from the system's count.
  const auto total = static_cast<std::size_t>(total_memory_bytes());
  const std::size_t allocated = allocated_->load();
  const std::size_t left = total > allocated ? total - allocated : 0;
  return std::min(left, static_cast<std::size_t>(free_memory_bytes()));
}

std::unique_ptr<Buffer> CpuDevice::allocate(std::size_t bytes) {
  const std::size_t free = free_bytes();
  void* data = MAP_FAILED;
  const std::size_t mapped = HostBuffer::mapped_size(bytes);
  if (bytes <= mapped && mapped <= free)
    data = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED)
    fail(ErrorKind::kOutOfMemory, "cannot allocate {} bytes on the CPU: {} bytes are free", bytes,
         free);
  if (mapped >= kHugePage) madvise(data, mapped, MADV_HUGEPAGE);
  return std::make_unique<HostBuffer>(data, bytes, allocated_);
}

void CpuDevice::upload(void* to, const void* from_host, std::size_t bytes) {
  if (bytes != 0) std::memcpy(to, from_host, bytes);
}
void CpuDevice::download(void* to_host, const void* from, std::size_t bytes) {
  if (bytes != 0) std::memcpy(to_host, from, bytes);
}
void CpuDevice::copy(void* to, const void* from, std::size_t bytes) {
  if (bytes != 0) std::memcpy(to, from, bytes);
}
void CpuDevice::fill(void* to, unsigned char byte, std::size_t bytes) {
  if (bytes != 0) std::memset(to, byte, bytes);
}

Layout CpuDevice::image_layout(Precision /*precision*/) const {
  return options_.plain_only ? Layout::kRowMajor : preferred_image_layout();
}

std::vector<int> CpuDevice::widths() const {
  std::vector<int> widths;
  for (int width = 1; width <= static_cast<int>(cores_.size()); ++width) widths.push_back(width);
  return widths;
}

std::unique_ptr<Capture> CpuDevice::capture(const Kernel& kernel, const Bindings& bindings) {
  CpuRecorder recorder;
  kernel.record(bindings, recorder);
  return std::make_unique<CpuCapture>(std::move(recorder));
}

std::unique_ptr<Kernel> CpuDevice::make_row_copy(const ByteRows& rows) const {
  return cpu::make_row_copy(rows);
}

std::unique_ptr<Kernel> CpuDevice::make_row_comparison(const ByteRows& rows) const {
  return cpu::make_row_comparison(rows);
}

std::unique_ptr<Program> CpuDevice::assemble(std::span<const ProgramStep> steps) {
  return std::make_unique<CpuProgram>(*workers_, steps);
}

double CpuDevice::run_free(std::span<Program* const> programs, std::span<const int> repeats) {
  require(programs.size() == repeats.size(), "{} programs with {} repeats", programs.size(),
          repeats.size());
  std::vector<CpuProgram*> own;
  for (Program* program : programs) {
    own.push_back(dynamic_cast<CpuProgram*>(program));
    require(own.back() != nullptr, "a program of another device");
  }
  // Several teams share the cores here: a short spin leaves them to those that have work.
  while (free_groups_.size() < own.size())
    free_groups_.push_back(std::make_unique<WorkerGroup>(
        workers_->size(),
        WorkerOptions{.cores = cores_, .is_pinned = false, .spin = std::chrono::microseconds(5)}));
  const auto begin = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < own.size(); ++i) own[i]->start(*free_groups_[i], repeats[i]);
  auto end = begin;
  std::exception_ptr error;
  for (CpuProgram* program : own) {
    try {
      program->wait();
      end = std::max(end, program->end_time());
    } catch (...) {
      if (!error) error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
  return std::chrono::duration<double, std::milli>(end - begin).count();
}

}  // namespace gacer::cpu
