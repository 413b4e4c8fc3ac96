#include "engine/placed_tenant.h"

#include <gtest/gtest.h>

#include "tests/engine/support.h"
#include "tests/support/expect_error.h"

namespace gacer {
namespace {

/// The CPU as a device whose memory weights must be copied to, of a size.
class SmallGpu final : public Device {
 public:
  SmallGpu() : info_(cpu_->info()) { info_.kind = "cuda"; }
  std::size_t room = 1 << 30;

  const DeviceInfo& info() const override { return info_; }
  std::unique_ptr<Buffer> allocate(std::size_t bytes) override {
    allocated_ += bytes;
    return cpu_->allocate(bytes);
  }
  std::size_t free_bytes() const override { return room - allocated_; }
  std::size_t allocated_bytes() const override { return allocated_; }
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
  std::unique_ptr<Program> assemble(std::span<const ProgramStep> steps) override {
    return cpu_->assemble(steps);
  }
  double run_free(std::span<Program* const> programs, std::span<const int> repeats) override {
    return cpu_->run_free(programs, repeats);
  }

 private:
  std::unique_ptr<Device> cpu_ = open_device("cpu", "impl=plain");
  DeviceInfo info_;
  std::size_t allocated_ = 0;
};

TEST(PlaceTenant, RefusesWhoseWeightsWillNotFitBesideTheOthers) {
  SmallGpu device;
  ModelLoader loader(device, Precision::kF32, {});
  const LoadedModel& first = loader.adopt("first", testing::make_random_net(1, 2));
  const LoadedModel& second = loader.adopt("second", testing::make_random_net(2, 2));
  std::vector<std::unique_ptr<PlacedTenant>> placed;
  const auto place = [&](const LoadedModel& model) -> const TenantInfo& {
    const TenantSpec spec = testing::named_spec("t" + std::to_string(placed.size()), 2);
    placed.push_back(
        std::make_unique<PlacedTenant>(place_tenant(device, Precision::kF32, spec, model, placed)));
    return placed.back()->info;
  };
  const TenantInfo one = place(first);
  ASSERT_GT(one.weights_bytes, 0);
  const auto taken = static_cast<std::size_t>(one.weights_bytes + one.arena_bytes);
  EXPECT_EQ(device.allocated_bytes(), static_cast<std::size_t>(one.arena_bytes))
      << "weights come later, but are counted";

  // Another tenant of the model shares its weights.
  device.room = taken + static_cast<std::size_t>(one.arena_bytes) - 1;
  testing::expect_error(ErrorKind::kOutOfMemory, "tenant 't1' needs", [&] { place(first); });
  EXPECT_EQ(device.allocated_bytes(), static_cast<std::size_t>(one.arena_bytes));
  ++device.room;
  place(first);

  // Room for the activations of another model, not for all of its weights.
  const std::size_t before = device.room;
  device.room = 1 << 30;
  const TenantInfo other = place(second);
  placed.pop_back();
  device.room = before + static_cast<std::size_t>(other.arena_bytes + other.weights_bytes) - 1;
  testing::expect_error(ErrorKind::kOutOfMemory,
                        "(weights " + std::to_string(other.weights_bytes) + ", activations",
                        [&] { place(second); });
}

}  // namespace
}  // namespace gacer
