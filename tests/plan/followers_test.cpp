#include "plan/followers.h"

#include <random>

#include <gtest/gtest.h>

namespace gacer {
namespace {

TEST(Followers, AreTheEdgesReadBackwards) {
  std::mt19937 random(3);
  for (int trial = 0; trial < 50; ++trial) {
    const int count = static_cast<int>(random() % 40);
    std::vector<std::vector<int>> waits_for(static_cast<std::size_t>(count));
    std::vector<std::vector<int>> expected(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) {
      for (int before = 0; before < i; ++before) {
        if (random() % 4 != 0) continue;
        waits_for[static_cast<std::size_t>(i)].push_back(before);
        expected[static_cast<std::size_t>(before)].push_back(i);
      }
    }
    const Followers followers(waits_for);
    for (int i = 0; i < count; ++i) {
      const auto of = followers.of(i);
      EXPECT_EQ(std::vector<int>(of.begin(), of.end()), expected[static_cast<std::size_t>(i)]);
    }
  }
}

}  // namespace
}  // namespace gacer
