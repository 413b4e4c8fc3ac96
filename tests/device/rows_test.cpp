#include "device/rows.h"

#include <gtest/gtest.h>

namespace gacer {
namespace {

OperandDesc operand(const Shape& shape, Layout layout, std::vector<std::int64_t> strides = {}) {
  OperandDesc desc;
  desc.shape = shape;
  desc.layout = layout;
  desc.strides = std::move(strides);
  return desc;
}

void expect_rows(const OperandDesc& desc, std::size_t count, std::size_t bytes, std::size_t pitch) {
  const Result<ByteRows> rows = rows_of(desc);
  ASSERT_TRUE(rows.ok()) << rows.reason();
  EXPECT_EQ(rows->count, count);
  EXPECT_EQ(rows->bytes, bytes);
  EXPECT_EQ(rows->pitch, pitch);
}

TEST(RowsOf, ADenseOperandIsOneRow) {
  for (const Layout layout : {Layout::kRowMajor, Layout::kChannelsLast, Layout::kBlocked16})
    expect_rows(operand({2, 32, 3, 5}, layout), 1, 4 * 960, 4 * 960);
  // Channels are padded to whole blocks.
  expect_rows(operand({2, 20, 3, 5}, Layout::kBlocked16), 1, 4 * 960, 4 * 960);
  expect_rows(operand({}, Layout::kRowMajor), 1, 4, 4);
}

TEST(RowsOf, AChannelSliceIsARowAPixelOrAnImage) {
  const Shape slice{2, 20, 3, 5};  // of 48 channels
  const Shape whole{2, 48, 3, 5};
  expect_rows(operand(slice, Layout::kChannelsLast, dense_strides(whole, Layout::kChannelsLast)),
              30, 4 * 20, 4 * 48);
  expect_rows(operand(slice, Layout::kRowMajor, dense_strides(whole, Layout::kRowMajor)), 2,
              4 * 300, 4 * 720);
  // One channel of several, and a single pixel.
  expect_rows(operand({2, 1, 3, 5}, Layout::kChannelsLast, {720, 1, 240, 48}), 30, 4, 4 * 48);
  expect_rows(operand({1, 20, 1, 1}, Layout::kChannelsLast, {720, 1, 240, 48}), 1, 80, 80);
}

TEST(RowsOf, NothingHasNoBytes) {
  const Result<ByteRows> rows = rows_of(operand({2, 0, 3}, Layout::kRowMajor));
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(rows->size(), 0U);
}

TEST(RowsOf, APartOfTwoAxesIsRefused) {
  const Result<ByteRows> rows =
      rows_of(operand({2, 3, 4, 5}, Layout::kRowMajor, {1000, 100, 10, 1}));
  ASSERT_FALSE(rows.ok());
  EXPECT_NE(rows.reason().find("[2, 3, 4, 5]"), std::string::npos) << rows.reason();
}

}  // namespace
}  // namespace gacer
