#include "zoo/weights.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

namespace gacer {
namespace {

std::vector<float> values(const Tensor& tensor) {
  const auto data = tensor.data<float>();
  return {data.begin(), data.end()};
}

TEST(ZooWeights, HaveTheirMeanAndDeviation) {
  for (const std::int64_t count : {100'001, 1'000'000}) {
    const Tensor tensor = make_weight("m", "w", 1, {count}, {0.5, 0.25});
    double sum = 0;
    double squares = 0;
    for (const float x : tensor.data<float>()) {
      sum += x;
      squares += (x - 0.5) * (x - 0.5);
    }
    EXPECT_NEAR(sum / static_cast<double>(count), 0.5, 0.003);
    EXPECT_NEAR(std::sqrt(squares / static_cast<double>(count)), 0.25, 0.003);
  }
}

TEST(ZooWeights, DependOnModelNameAndSeed) {
  const auto base = values(make_weight("m", "w", 1, {64}, {}));
  EXPECT_EQ(base, values(make_weight("m", "w", 1, {64}, {})));
  EXPECT_NE(base, values(make_weight("m", "w", 2, {64}, {})));
  EXPECT_NE(base, values(make_weight("m", "v", 1, {64}, {})));
  EXPECT_NE(base, values(make_weight("n", "w", 1, {64}, {})));
}

TEST(ZooWeights, DependOnTheIndexNotOnThreadsOrSize) {
  const auto small = values(make_weight("m", "w", 1, {1000}, {}));
  const auto large = values(make_weight("m", "w", 1, {1'000'001}, {}));
  EXPECT_TRUE(std::equal(small.begin(), small.end(), large.begin()));
  EXPECT_TRUE(std::isfinite(large.back()));
}

TEST(ZooWeights, NeighboursAreIndependent) {
  for (const std::int64_t distance : {1, 2, 3, 64}) {
    const auto x = values(make_weight("m", "w", 5, {200'000}, {0, 1}));
    double product = 0;
    const auto d = static_cast<std::size_t>(distance);
    for (std::size_t i = d; i < x.size(); ++i) product += x[i] * x[i - d];
    EXPECT_NEAR(product / static_cast<double>(x.size()), 0, 0.01) << distance;
  }
}

TEST(ZooWeights, AreSharedWhileTheyLive) {
  Tensor first = make_weight("m", "shared", 1, {512, 512}, {});
  const Tensor second = make_weight("m", "shared", 1, {512, 512}, {});
  EXPECT_EQ(first.bytes(), second.bytes());
  EXPECT_NE(first.bytes(), make_weight("m", "shared", 2, {512, 512}, {}).bytes());
}

}  // namespace
}  // namespace gacer
