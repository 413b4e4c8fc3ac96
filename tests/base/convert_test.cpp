#include "base/convert.h"

#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "base/dtype.h"
#include "base/error.h"

namespace gacer {
namespace {

template <typename To, typename From>
std::vector<To> converted(const std::vector<From>& from) {
  std::vector<To> to(from.size());
  convert_numbers(dtype_of<From>(), reinterpret_cast<const std::byte*>(from.data()), dtype_of<To>(),
                  reinterpret_cast<std::byte*>(to.data()), static_cast<std::int64_t>(from.size()));
  return to;
}

TEST(Convert, EveryHalfKeepsItsBitsThroughFloat) {
  std::vector<Half> halves(1 << 16);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i].bits = static_cast<std::uint16_t>(i);
  const std::vector<float> floats = converted<float>(halves);
  const std::vector<Half> again = converted<Half>(floats);
  for (std::size_t i = 0; i < halves.size(); ++i) {
    if (std::isnan(floats[i])) {
      EXPECT_TRUE(std::isnan(static_cast<float>(halves[i])));
      EXPECT_TRUE(std::isnan(static_cast<float>(again[i])));
      continue;
    }
    EXPECT_EQ(std::bit_cast<std::uint32_t>(floats[i]),
              std::bit_cast<std::uint32_t>(static_cast<float>(halves[i])));
    EXPECT_EQ(again[i].bits, halves[i].bits);
  }
}

TEST(Convert, ManyNumbersAreRoundedLikeOne) {
  // Of every size, subnormal and too large ones among them; more than one thread's share.
  std::mt19937 random(7);
  std::vector<float> floats((1 << 20) + 13);
  for (float& x : floats) {
    x = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    if (std::isnan(x)) x = 1;
    if (random() % 2 == 0) x = std::ldexp(static_cast<float>(random() % 4096) - 2048, -20);
  }
  const std::vector<Half> halves = converted<Half>(floats);
  const std::vector<BFloat16> brains = converted<BFloat16>(floats);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < floats.size(); ++i)
    wrong +=
        (halves[i].bits != Half(floats[i]).bits) + (brains[i].bits != BFloat16(floats[i]).bits);
  EXPECT_EQ(wrong, 0U);
}

TEST(Convert, IntegersBecomeFloatsAndNotTheOtherWay) {
  const std::vector<std::int32_t> ints = {1, -2};
  const std::vector<float> floats = converted<float>(ints);
  EXPECT_EQ(floats, (std::vector<float>{1, -2}));
  try {
    converted<std::int32_t>(floats);
    FAIL() << "converted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInternal);
  }
}

TEST(ForParts, CoversEveryNumberOnce) {
  for (const std::int64_t count : {0, 1, 7, 1000, 4096}) {
    std::vector<int> seen(static_cast<std::size_t>(count), 0);
    for_parts(count, 64, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) ++seen[static_cast<std::size_t>(i)];
    });
    for (const int times : seen) EXPECT_EQ(times, 1);
  }
}

}  // namespace
}  // namespace gacer
