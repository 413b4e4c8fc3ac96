#pragma once

#include <cstddef>
#include <numeric>
#include <span>
#include <vector>

namespace gacer {

/// The steps that wait for each step, ascending: edges read the other way round, in three blocks of
/// memory, for searches turn thousands of graphs around.
class Followers {
 public:
  Followers() = default;
  /// `waits_for(i)`: the steps, less than `count`, that step i waits for.
  template <typename WaitsFor>
  Followers(std::size_t count, const WaitsFor& waits_for) : first_(count + 1, 0) {
    for (std::size_t i = 0; i < count; ++i)
      for (const int before : waits_for(i)) ++first_[static_cast<std::size_t>(before) + 1];
    std::partial_sum(first_.begin(), first_.end(), first_.begin());
    steps_.resize(first_.back());
    std::vector<std::size_t> next(first_.begin(), first_.end() - 1);
    for (std::size_t i = 0; i < count; ++i)
      for (const int before : waits_for(i))
        steps_[next[static_cast<std::size_t>(before)]++] = static_cast<int>(i);
  }

  std::span<const int> of(int step) const {
    const std::size_t begin = first_[static_cast<std::size_t>(step)];
    return std::span(steps_).subspan(begin, first_[static_cast<std::size_t>(step) + 1] - begin);
  }

 private:
  std::vector<std::size_t> first_;  ///< of each step's in steps_; at the end: their number
  std::vector<int> steps_;
};

}  // namespace gacer
