#include "backend/sim/sim_device.h"

#include <sys/mman.h>

#include <cstring>
#include <utility>

#include "backend/sim/sim_program.h"
#include "base/error.h"

namespace gacer::sim {
namespace {

constexpr std::int64_t kDefaultMemory = std::int64_t{64} << 30;

Layout parse_image_layout(const std::string& text) {
  for (const Layout layout :
       {Layout::kRowMajor, Layout::kChannelsLast, Layout::kBlocked8, Layout::kBlocked16}) {
    if (text == to_string(layout)) return layout;
  }
  fail(ErrorKind::kDevice, "the recording names an unknown image layout '{}'", text);
}

/// Addresses with nothing behind them: different buffers differ, touching one is a crash.
class EmptyBuffer final : public Buffer {
 public:
  EmptyBuffer(std::size_t size, std::shared_ptr<std::atomic<std::size_t>> allocated)
      : size_(size), allocated_(std::move(allocated)) {
    data_ = mmap(nullptr, mapped(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data_ == MAP_FAILED) {
      fail(ErrorKind::kOutOfMemory, "no address range of {} bytes is free", size);
    }
    *allocated_ += size_;
  }
  ~EmptyBuffer() override {
    munmap(data_, mapped());
    *allocated_ -= size_;
  }
  EmptyBuffer(const EmptyBuffer&) = delete;
  EmptyBuffer& operator=(const EmptyBuffer&) = delete;

  void* data() const override { return data_; }
  std::size_t size() const override { return size_; }

 private:
  std::size_t mapped() const { return size_ == 0 ? 1 : size_; }

  std::size_t size_;
  std::shared_ptr<std::atomic<std::size_t>> allocated_;
  void* data_ = nullptr;
};

}  // namespace

SimDevice::SimDevice(Recording recording)
    : recording_(std::make_shared<const Recording>(std::move(recording))),
      info_(recording_->device),
      image_layout_(parse_image_layout(recording_->image_layout)),
      kernels_(recording_),
      kernel_list_{&kernels_},
      allocated_(std::make_shared<std::atomic<std::size_t>>(0)) {
  info_.kind = "sim";
  if (info_.memory_bytes == 0) info_.memory_bytes = kDefaultMemory;
}

std::size_t SimDevice::free_bytes() const {
  const auto total = static_cast<std::size_t>(info_.memory_bytes);
  const std::size_t used = allocated_->load();
  return total > used ? total - used : 0;
}

std::unique_ptr<Buffer> SimDevice::allocate(std::size_t bytes) {
  if (bytes > free_bytes()) {
    fail(ErrorKind::kOutOfMemory, "cannot allocate {} bytes on {}: {} bytes are free", bytes,
         info_.name, free_bytes());
  }
  return std::make_unique<EmptyBuffer>(bytes, allocated_);
}

void SimDevice::download(void* to_host, const void*, std::size_t bytes) {
  if (bytes > 0) std::memset(to_host, 0, bytes);
}

std::unique_ptr<Capture> SimDevice::capture(const Kernel& kernel, const Bindings&) {
  const auto* own = dynamic_cast<const SimKernel*>(&kernel);
  require(own != nullptr, "a kernel of another backend");
  return std::make_unique<SimCapture>(own->signature(), own->items(), own->variant(),
                                      own->launches());
}

std::unique_ptr<Program> SimDevice::assemble(std::span<const ProgramStep> steps) {
  return std::make_unique<SimProgram>(*recording_, steps);
}

double SimDevice::run_free(std::span<Program* const> programs, std::span<const int> repeats) {
  require(programs.size() == repeats.size(), "{} programs with {} repeats", programs.size(),
          repeats.size());
  std::vector<SimStep> all;
  int first_lane = 0;
  for (std::size_t p = 0; p < programs.size(); ++p) {
    const auto* program = dynamic_cast<const SimProgram*>(programs[p]);
    require(program != nullptr, "a program of another device");
    int num_lanes = 0;
    std::vector<int> ends;  // of the round before: steps that nothing waits for
    for (int round = 0; round < repeats[p]; ++round) {
      const int base = static_cast<int>(all.size());
      std::vector<char> is_end(program->steps().size(), 1);
      for (const SimStep& from : program->steps()) {
        SimStep step = from;
        for (int& before : step.waits_for) {
          is_end[static_cast<std::size_t>(before)] = 0;
          before += base;
        }
        if (step.waits_for.empty()) step.waits_for = ends;
        num_lanes = std::max(num_lanes, step.lane + 1);
        step.lane += first_lane;
        all.push_back(std::move(step));
      }
      ends.clear();
      for (std::size_t i = 0; i < is_end.size(); ++i) {
        if (is_end[i]) ends.push_back(base + static_cast<int>(i));
      }
    }
    first_lane += num_lanes;
  }
  return simulate_shared(recording_->device.num_groups, all,
                         default_contention(recording_->is_width_fixed))
      .round_ms;
}

}  // namespace gacer::sim
