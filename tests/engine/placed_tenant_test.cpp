#include "engine/placed_tenant.h"

#include <gtest/gtest.h>

#include "tests/engine/forwarding_device.h"
#include "tests/engine/support.h"
#include "tests/support/expect_error.h"

namespace gacer {
namespace {

/// A device whose memory weights must be copied to, of a size.
class SmallGpu final : public testing::ForwardingDevice {
 public:
  SmallGpu() : info_(ForwardingDevice::info()) { info_.kind = "cuda"; }
  std::size_t room = 1 << 30;

  const DeviceInfo& info() const override { return info_; }
  std::unique_ptr<Buffer> allocate(std::size_t bytes) override {
    allocated_ += bytes;
    return ForwardingDevice::allocate(bytes);
  }
  std::size_t free_bytes() const override { return room - allocated_; }
  std::size_t allocated_bytes() const override { return allocated_; }

 private:
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
