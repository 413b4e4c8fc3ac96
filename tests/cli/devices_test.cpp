#include <array>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tools/gacer/cmd_devices.h"

namespace gacer::cli {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Device> refuse(const std::string&, const std::string&) {
  fail(ErrorKind::kDevice, "there is no abacus here\nand nowhere else");
}

TEST(Devices, OfOtherKindsAreListedBesideOneThatFails) {
  const Backend broken = {"broken",
                          []() -> std::vector<DeviceInfo> {
                            fail(ErrorKind::kDevice, "the driver is older than the library");
                          },
                          refuse};
  const Backend empty = {"abacus", [] { return std::vector<DeviceInfo>(); }, refuse};
  const Backend works = {"cpu",
                         [] {
                           DeviceInfo info;
                           info.kind = "cpu";
                           info.name = "A processor";
                           return std::vector<DeviceInfo>{info};
                         },
                         refuse};
  const std::array<const Backend*, 3> backends = {&broken, &empty, &works};
  const std::string text = describe_devices(backends, /*use_color=*/false);
  EXPECT_THAT(text, HasSubstr("broken: cannot be asked: the driver is older than the library\n"));
  EXPECT_THAT(text, HasSubstr("abacus: none here: there is no abacus here\n"));
  EXPECT_THAT(text, HasSubstr("A processor"));
}

}  // namespace
}  // namespace gacer::cli
