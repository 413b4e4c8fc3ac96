#include "backend/cpu/strided_copy.h"

#include <numeric>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include <gacer/tensor.h>

namespace gacer::cpu {
namespace {

TEST(StridedCopy, PutsEachElementInItsPlace) {
  std::mt19937 random(5);
  SerialTeam team;
  for (int round = 0; round < 50; ++round) {
    const int rank = 1 + static_cast<int>(random() % 4);
    Shape dims(std::vector<std::int64_t>(static_cast<std::size_t>(rank), 1));
    for (int axis = 0; axis < rank; ++axis) dims[axis] = 1 + static_cast<int>(random() % 5);
    // A random order of the axes on either side, with a gap after the innermost.
    const auto placement = [&] {
      std::vector<std::size_t> order(static_cast<std::size_t>(rank));
      std::iota(order.begin(), order.end(), 0U);
      std::shuffle(order.begin(), order.end(), random);
      std::vector<std::int64_t> strides(order.size());
      std::int64_t step = 1 + static_cast<int>(random() % 2);
      for (std::size_t axis : order) {
        strides[axis] = step;
        step *= dims[static_cast<int>(axis)] + static_cast<int>(random() % 2);
      }
      return std::pair(strides, static_cast<std::size_t>(step));
    };
    const auto [from_strides, from_size] = placement();
    const auto [to_strides, to_size] = placement();
    std::vector<float> from(from_size);
    std::iota(from.begin(), from.end(), 1.0F);
    std::vector<float> to(to_size, -1);
    std::vector<float> expected = to;
    const std::vector<std::int64_t> dense = dims.row_major_strides();
    for (std::int64_t i = 0; i < dims.num_elements(); ++i) {
      std::int64_t a = 0;
      std::int64_t b = 0;
      for (int axis = 0; axis < rank; ++axis) {
        const auto k = static_cast<std::size_t>(axis);
        const std::int64_t step = i / dense[k] % dims[axis];
        a += step * from_strides[k];
        b += step * to_strides[k];
      }
      expected[static_cast<std::size_t>(b)] = from[static_cast<std::size_t>(a)];
    }
    copy_strided(dims.dims(), sizeof(float), reinterpret_cast<const std::byte*>(from.data()),
                 from_strides, reinterpret_cast<std::byte*>(to.data()), to_strides, team);
    EXPECT_EQ(to, expected);
  }
}

}  // namespace
}  // namespace gacer::cpu
