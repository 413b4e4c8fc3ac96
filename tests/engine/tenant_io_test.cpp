#include "engine/tenant_io.h"

#include <numeric>

#include <gtest/gtest.h>

namespace gacer {
namespace {

TEST(TenantIo, EveryLayoutGivesBackWhatWasPlaced) {
  for (const Layout layout :
       {Layout::kRowMajor, Layout::kChannelsLast, Layout::kBlocked8, Layout::kBlocked16}) {
    OperandDesc desc;
    desc.shape = Shape{2, 19, 3, 5};
    desc.layout = layout;
    std::vector<float> values(static_cast<std::size_t>(desc.shape.num_elements()));
    std::iota(values.begin(), values.end(), 1.0F);
    std::vector<std::byte> placed(extent_bytes(desc));
    EXPECT_EQ(placed.size(), bytes_in_layout(desc.dtype, desc.shape, layout));
    scatter_row_major(desc, reinterpret_cast<const std::byte*>(values.data()), placed.data());
    std::vector<float> back(values.size());
    gather_row_major(desc, placed.data(), reinterpret_cast<std::byte*>(back.data()));
    EXPECT_EQ(back, values) << to_string(layout);
  }
}

TEST(TenantIo, ChannelsLastPutsChannelsTogether) {
  OperandDesc desc;
  desc.shape = Shape{1, 3, 1, 2};
  desc.layout = Layout::kChannelsLast;
  const std::vector<float> values{1, 2, 3, 4, 5, 6};  // [c][w]
  std::vector<float> placed(6);
  scatter_row_major(desc, reinterpret_cast<const std::byte*>(values.data()),
                    reinterpret_cast<std::byte*>(placed.data()));
  EXPECT_EQ(placed, (std::vector<float>{1, 3, 5, 2, 4, 6}));
}

TEST(TenantIo, AStridedPartTouchesOnlyItsElements) {
  OperandDesc desc;
  desc.shape = Shape{2, 1, 2, 2};
  desc.strides = {12, 4, 2, 1};  // one of three channels
  const std::vector<float> values{1, 2, 3, 4, 5, 6, 7, 8};
  std::vector<float> placed(24, -1.0F);
  EXPECT_EQ(extent_bytes(desc), 16 * sizeof(float));
  scatter_row_major(desc, reinterpret_cast<const std::byte*>(values.data()),
                    reinterpret_cast<std::byte*>(placed.data() + 4));
  EXPECT_EQ(placed[3], -1);
  EXPECT_EQ(placed[4], 1);
  EXPECT_EQ(placed[7], 4);
  EXPECT_EQ(placed[8], -1);
  EXPECT_EQ(placed[16], 5);
  EXPECT_EQ(placed[19], 8);
  EXPECT_EQ(placed[20], -1);
}

}  // namespace
}  // namespace gacer
