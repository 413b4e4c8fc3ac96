#include "engine/peaks.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/engine/forwarding_device.h"
#include "tests/support/expect_error.h"

namespace gacer {
namespace {

constexpr PeakLimits kSmall = {.matrix = 128, .bytes = 1 << 20};

/// Every program takes the same time.
class EvenDevice final : public testing::ForwardingDevice {
 public:
  explicit EvenDevice(double ms) : ms_(ms) {}
  std::unique_ptr<Program> assemble(std::span<const ProgramStep> steps) override {
    return std::make_unique<EvenProgram>(static_cast<int>(steps.size()), ms_ * std::ssize(steps));
  }

 private:
  class EvenProgram final : public Program {
   public:
    EvenProgram(int launches, double ms) : launches_(launches), ms_(ms) {}
    double run() override { return ms_; }
    int num_launches() const override { return launches_; }
    std::vector<StepTime> run_traced() override { return {}; }

   private:
    int launches_;
    double ms_;
  };
  double ms_;
};

TEST(Peaks, AreWorkOverTheTimeOfACall) {
  constexpr PeakLimits kLimits = {.matrix = 1024, .bytes = 1 << 20};
  EvenDevice quick(0.125);  // milliseconds a call: larger matrices are tried
  EXPECT_DOUBLE_EQ(measure_peaks(quick, Precision::kF32, kLimits).flops,
                   2.0 * (1 << 30) / 0.125e-3);
  EXPECT_DOUBLE_EQ(measure_peaks(quick, Precision::kF32, kLimits).bandwidth,
                   2.0 * (1 << 20) / 0.125e-3);
  EvenDevice slow(2);  // one is enough
  EXPECT_DOUBLE_EQ(measure_peaks(slow, Precision::kF32, kLimits).flops, 2.0 * (1 << 27) / 2e-3);
}

/// Fails to build any kernel.
class FailingImpl final : public KernelImpl {
 public:
  std::string_view name() const override { return "failing"; }
  Result<void> supports(const KernelCall& /*call*/) const override { return {}; }
  std::vector<std::string> variants(const KernelCall& call, int /*width*/) const override {
    if (call.node.op == "Relu") fail(ErrorKind::kDevice, "no compiler");
    return {"one"};
  }
  std::unique_ptr<Kernel> prepare(const KernelCall& /*call*/,
                                  const std::string& /*key*/) const override {
    fail(ErrorKind::kDevice, "not built");
  }
};

class FailingDevice final : public testing::ForwardingDevice {
 public:
  FailingDevice() {
    kernels_.push_back(&failing_);
    for (const KernelImpl* impl : ForwardingDevice::kernels()) kernels_.push_back(impl);
  }
  std::span<const KernelImpl* const> kernels() const override { return kernels_; }
  bool is_usable() override { return !is_lost; }
  bool is_lost = false;

 private:
  FailingImpl failing_;
  std::vector<const KernelImpl*> kernels_;
};

TEST(Peaks, KernelsThatFailAreLeftOutUnlessTheDeviceIsLost) {
  FailingDevice device;
  const Peaks peaks = measure_peaks(device, Precision::kF32, kSmall);
  EXPECT_GT(peaks.flops, 0);
  EXPECT_GT(peaks.bandwidth, 0);
  device.is_lost = true;
  testing::expect_error(ErrorKind::kDevice, "not built",
                        [&] { measure_peaks(device, Precision::kF32, kSmall); });
}

/// No memory for more than some bytes at once, no kernels if need be.
class ScarceDevice final : public testing::ForwardingDevice {
 public:
  std::unique_ptr<Buffer> allocate(std::size_t bytes) override {
    if (bytes > most_bytes) fail(ErrorKind::kOutOfMemory, "{} bytes asked for, 0 free", bytes);
    return ForwardingDevice::allocate(bytes);
  }
  std::span<const KernelImpl* const> kernels() const override {
    if (!has_kernels) return {};
    return ForwardingDevice::kernels();
  }
  std::size_t most_bytes = ~std::size_t{0};
  bool has_kernels = true;
};

TEST(Peaks, OfWhatHasNoMemoryOrKernelAreUnknown) {
  ScarceDevice device;
  device.most_bytes = 100'000;  // a matrix, not the pass over memory
  const Peaks little = measure_peaks(device, Precision::kF32, kSmall);
  EXPECT_GT(little.flops, 0);
  EXPECT_EQ(little.bandwidth, 0);
  device.most_bytes = 2'000'000;  // the smaller of two products
  EXPECT_GT(measure_peaks(device, Precision::kF32, {.matrix = 1024, .bytes = 1 << 20}).flops, 0);
  device.most_bytes = ~std::size_t{0};
  device.has_kernels = false;
  const Peaks none = measure_peaks(device, Precision::kF32, kSmall);
  EXPECT_EQ(none.flops, 0);
  EXPECT_EQ(none.bandwidth, 0);
}

}  // namespace
}  // namespace gacer
