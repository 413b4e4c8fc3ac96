#pragma once

#include <cstddef>
#include <functional>
#include <iterator>
#include <numeric>
#include <span>
#include <vector>

namespace gacer {

/// The steps that wait for each step, ascending: edges read the other way round, in three blocks of
/// memory, for searches turn thousands of graphs around.
class Followers {
 public:
  /// `waits_for`: a member of a step, or nothing where `steps` are lists of those that each step
  /// waits for.
  template <typename Steps, typename WaitsFor = std::identity>
  explicit Followers(const Steps& steps, WaitsFor waits_for = {})
      : first_(std::size(steps) + 1, 0) {
    for (const auto& step : steps)
      for (const int before : std::invoke(waits_for, step))
        ++first_[static_cast<std::size_t>(before) + 1];
    std::partial_sum(first_.begin(), first_.end(), first_.begin());
    steps_.resize(first_.back());
    std::vector<std::size_t> next(first_.begin(), first_.end() - 1);
    int index = 0;
    for (const auto& step : steps) {
      for (const int before : std::invoke(waits_for, step))
        steps_[next[static_cast<std::size_t>(before)]++] = index;
      ++index;
    }
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
