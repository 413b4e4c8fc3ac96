#include "engine/tenant_io.h"

#include <array>
#include <numeric>
#include <random>
#include <vector>

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

/// Element offset of each element, in row-major order, one by one.
std::vector<std::int64_t> places_of(const OperandDesc& desc) {
  const std::int64_t block = channel_block(desc.layout);
  const auto strides = desc.is_dense() ? dense_strides(desc.shape, desc.layout) : desc.strides;
  std::vector<std::int64_t> places;
  for (std::int64_t i = 0; i < desc.shape.num_elements(); ++i) {
    std::int64_t place = 0;
    std::int64_t rest = i;
    for (int axis = desc.shape.rank() - 1; axis >= 0; --axis) {
      const std::int64_t index = rest % desc.shape[axis];
      rest /= desc.shape[axis];
      const std::int64_t stride = strides[static_cast<std::size_t>(axis)];
      place += axis == 1 && block > 1 ? index / block * stride + index % block : index * stride;
    }
    places.push_back(place);
  }
  return places;
}

template <typename T>
void expect_copies_both_ways(const OperandDesc& desc) {
  const std::vector<std::int64_t> places = places_of(desc);
  std::vector<T> placed(extent_bytes(desc) / sizeof(T));
  for (std::size_t i = 0; i < placed.size(); ++i) placed[i] = static_cast<T>(i % 251);
  std::vector<T> dense(places.size());
  gather_row_major(desc, reinterpret_cast<const std::byte*>(placed.data()),
                   reinterpret_cast<std::byte*>(dense.data()));
  std::vector<T> expected(placed.size(), T{255});
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto place = static_cast<std::size_t>(places[i]);
    ASSERT_EQ(dense[i], placed[place]) << desc.shape.to_string() << to_string(desc.layout);
    expected[place] = placed[place];
  }
  std::vector<T> back(placed.size(), T{255});
  scatter_row_major(desc, reinterpret_cast<const std::byte*>(dense.data()),
                    reinterpret_cast<std::byte*>(back.data()));
  EXPECT_EQ(back, expected) << desc.shape.to_string() << to_string(desc.layout);
}

TEST(TenantIo, AnyShapeLayoutAndPartIsCopiedBothWays) {
  std::mt19937 random(11);
  const auto draw = [&](std::int64_t most) {
    return static_cast<std::int64_t>(random() % static_cast<unsigned>(most)) + 1;
  };
  const auto check = [&](const OperandDesc& desc) {
    switch (size_of(desc.dtype)) {
      case 1:
        return expect_copies_both_ways<std::uint8_t>(desc);
      case 2:
        return expect_copies_both_ways<std::uint16_t>(desc);
      case 4:
        return expect_copies_both_ways<std::uint32_t>(desc);
      default:
        return expect_copies_both_ways<std::uint64_t>(desc);
    }
  };
  for (int round = 0; round < 300; ++round) {
    OperandDesc desc;
    desc.layout = std::array{Layout::kRowMajor, Layout::kChannelsLast, Layout::kBlocked8,
                             Layout::kBlocked16}[random() % 4];
    desc.dtype = std::array{DType::kU8, DType::kF16, DType::kF32, DType::kF64}[random() % 4];
    std::vector<std::int64_t> dims{draw(3), draw(40)};
    const std::int64_t image_axes = draw(3);
    for (std::int64_t axis = 0; axis < image_axes; ++axis) dims.push_back(draw(12));
    desc.shape = Shape(dims);
    if (random() % 3 == 0) {  // a part of something wider
      std::vector<std::int64_t> wide = dims;
      for (std::int64_t& dim : wide) dim += draw(3) - 1;
      desc.strides = dense_strides(Shape(wide), desc.layout);
    }
    check(desc);
  }
  OperandDesc large;  // several threads' work
  large.layout = Layout::kChannelsLast;
  large.dtype = DType::kF16;
  large.shape = Shape{2, 67, 65, 63};
  check(large);
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
