#pragma once

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "device/device.h"

namespace gacer::testing {

inline void run_alone(Device& device, const Kernel& kernel, const Bindings& bindings) {
  const auto capture = device.capture(kernel, bindings);
  ProgramStep step;
  step.capture = capture.get();
  step.budget = {0, 1};
  device.assemble({&step, 1})->run();
}

/// What every device promises of make_row_copy() and make_row_comparison(), on rows that begin
/// `offset` bytes into memory.
inline void expect_row_checks(Device& device, const ByteRows& rows, std::size_t offset) {
  SCOPED_TRACE(::testing::Message() << rows.count << " rows of " << rows.bytes << " bytes, pitch "
                                    << rows.pitch << ", offset " << offset);
  std::mt19937 random(3);
  std::vector<unsigned char> host(offset + rows.count * rows.pitch + 16);
  for (unsigned char& byte : host) byte = static_cast<unsigned char>(random());
  const auto memory = device.allocate(host.size());
  const auto copy = device.allocate(rows.size());
  const auto found_there = device.allocate(sizeof(RowDifference));
  void* const begin = static_cast<std::byte*>(memory->data()) + offset;
  const auto upload = [&] { device.upload(memory->data(), host.data(), host.size()); };
  const auto comparison = device.make_row_comparison(rows);
  const auto compare = [&](int times) {
    RowDifference found;
    device.upload(found_there->data(), &found, sizeof found);
    for (int i = 0; i < times; ++i)
      run_alone(device, *comparison, {{begin, copy->data()}, {found_there->data()}, nullptr});
    device.download(&found, found_there->data(), sizeof found);
    return found;
  };

  upload();
  run_alone(device, *device.make_row_copy(rows), {{begin}, {copy->data()}, nullptr});
  std::vector<unsigned char> copied(rows.size());
  device.download(copied.data(), copy->data(), copied.size());
  for (std::size_t row = 0; row < rows.count; ++row)
    ASSERT_EQ(std::memcmp(copied.data() + row * rows.bytes, host.data() + offset + row * rows.pitch,
                          rows.bytes),
              0)
        << "row " << row;
  EXPECT_EQ(compare(1).bytes, 0U);

  for (int trial = 0; trial < 5; ++trial) {
    const std::size_t row = random() % rows.count;
    const std::size_t column = random() % rows.bytes;
    unsigned char& byte = host[offset + row * rows.pitch + column];
    byte ^= 1;
    upload();
    const RowDifference once = compare(1);
    const std::size_t at = row * rows.bytes + column;
    EXPECT_GE(once.bytes, 1U);
    EXPECT_LE(once.bytes, 16U) << "a unit";
    EXPECT_LE(once.first, at);
    EXPECT_GE(once.last, at);
    EXPECT_EQ(once.last - once.first + 1, once.bytes);
    EXPECT_EQ(compare(3).bytes, 3 * once.bytes) << "findings add up";
    byte ^= 1;
  }
  if (rows.pitch > rows.bytes) host[offset + rows.bytes] ^= 1;
  host[offset + (rows.count - 1) * rows.pitch + rows.bytes] ^= 1;
  upload();
  EXPECT_EQ(compare(1).bytes, 0U) << "what lies between the rows is nobody's";
}

inline void expect_row_checks(Device& device) {
  expect_row_checks(device, {1, 16, 16}, 0);
  expect_row_checks(device, {1, 7, 7}, 3);
  expect_row_checks(device, {1, 1 << 20, 1 << 20}, 0);
  expect_row_checks(device, {30, 80, 192}, 32);
  expect_row_checks(device, {3, 12, 20}, 4);
  expect_row_checks(device, {1000, 2, 6}, 2);
  expect_row_checks(device, {70000, 16, 32}, 16);
}

}  // namespace gacer::testing
