#include "backend/cpu/cpu_device.h"

#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <gacer/error.h>

#include "tests/support/expect_error.h"
#include "tests/support/row_check.h"

namespace gacer {
namespace {

using testing::expect_error;

TEST(CpuDevice, OpensByNameAndStatesItsFacts) {
  const auto device = open_device("cpu");
  const DeviceInfo& info = device->info();
  EXPECT_EQ(info.kind, "cpu");
  EXPECT_GE(info.num_groups, 1);
  EXPECT_EQ(info.num_units, info.num_groups * info.units_per_group);
  EXPECT_GT(info.memory_bytes, 0);
  EXPECT_GT(info.peak_flops, 1e9);
  EXPECT_GT(info.peak_bandwidth, 1e8);
  EXPECT_EQ(info.libraries.count("onednn"), 1U);
  std::vector<int> widths(static_cast<std::size_t>(info.num_groups));
  std::iota(widths.begin(), widths.end(), 1);
  EXPECT_EQ(device->widths(), widths);
}

TEST(CpuDevice, CopiesAndComparesRows) { testing::expect_row_checks(*open_device("cpu")); }

TEST(CpuDevice, MemoryIsCountedAndRefusedByTheByte) {
  const auto device = open_device("cpu");
  const std::size_t before = device->free_bytes();
  EXPECT_GT(before, 0U);
  expect_error(ErrorKind::kOutOfMemory, std::to_string(std::size_t{1} << 60),
               [&] { device->allocate(std::size_t{1} << 60); });
  expect_error(ErrorKind::kOutOfMemory, "bytes are free", [&] { device->allocate(SIZE_MAX); });
  const auto buffer = device->allocate(1000);
  ASSERT_NE(buffer->data(), nullptr);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer->data()) % 64, 0U);
  EXPECT_EQ(buffer->size(), 1000U);
  device->fill(buffer->data(), 0xff, 1000);
  const int value = 42;
  device->upload(buffer->data(), &value, sizeof(value));
  std::pair<int, unsigned> back;
  device->download(&back, buffer->data(), sizeof(back));
  EXPECT_EQ(back, std::pair(42, 0xffffffffU));
}

TEST(CpuDevice, OptionsAreCheckedWithTheirNames) {
  expect_error(ErrorKind::kUsage, "impl=plain", [] { open_device("cpu", "speed=fast"); });
  expect_error(ErrorKind::kUsage, "threads=0", [] { open_device("cpu", "threads=0"); });
  expect_error(ErrorKind::kUsage, "threads=9999", [] { open_device("cpu", "threads=9999"); });
  expect_error(ErrorKind::kUsage, "threads=x", [] { open_device("cpu", "threads=x"); });
  expect_error(ErrorKind::kDevice, "cpu:3", [] { open_device("cpu:3"); });
  const auto device = open_device("cpu:0", "impl=plain,threads=1");
  ASSERT_EQ(device->kernels().size(), 1U);
  EXPECT_EQ(device->kernels()[0]->name(), "plain");
  EXPECT_EQ(device->info().num_groups, 1);
  EXPECT_EQ(device->image_layout(Precision::kF32), Layout::kRowMajor);
}

TEST(OpenDevice, UnknownKindNamesThoseThatExist) {
  expect_error(ErrorKind::kUsage, "cpu", [] { open_device("tpu:0"); });
}

TEST(OpenDevice, KindsOfTheTableAreDistinct) {
  std::set<std::string_view> kinds;
  for (const Backend* backend : all_backends()) {
    EXPECT_TRUE(kinds.insert(backend->kind).second) << backend->kind;
    for (const DeviceInfo& info : backend->find_devices()) EXPECT_EQ(info.kind, backend->kind);
  }
}

}  // namespace
}  // namespace gacer
