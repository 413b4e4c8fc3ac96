#include "backend/cuda/kernels/divisor.h"

#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace gacer::cuda {
namespace {

/// What kernels do (divide() of kernels/common.cuh).
int divide(int number, const Divisor& by) {
  const auto n = static_cast<std::uint32_t>(number);
  const auto high = static_cast<std::uint32_t>((std::uint64_t{n} * by.multiplier) >> 32);
  return static_cast<int>((high + n) >> by.shift);
}

TEST(Divisor, DividesAllNumbersThatAnIntegerHolds) {
  constexpr int kMost = std::numeric_limits<int>::max();
  std::mt19937 random(5);
  std::uniform_int_distribution<int> bits(0, 30);
  const auto any = [&] { return static_cast<int>(random() & 0x7fffffffU) >> bits(random); };
  std::vector<int> divisors = {kMost, kMost - 1, 1 << 30, (1 << 30) + 1, (1 << 30) - 1};
  for (int value = 1; value < 2000; ++value) divisors.push_back(value);
  for (int i = 0; i < 2000; ++i) divisors.push_back(any() / 2 + 1);
  for (const int value : divisors) {
    const Divisor by = make_divisor(value);
    const int multiple = kMost / value * value;
    for (const int number : {0, 1, value - 1, value, multiple - 1, multiple, kMost - 1, kMost,
                             any(), any(), any(), any()})
      ASSERT_EQ(divide(number, by), number / value) << number << " / " << value;
  }
}

}  // namespace
}  // namespace gacer::cuda
