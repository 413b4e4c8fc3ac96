#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "cost/step_sim.h"
#include "plan/followers.h"

namespace gacer {
namespace {

// A step that follows one on other cores is woken by another thread.
constexpr double kHandOverMs = 0.002;

std::size_t at(int i) { return static_cast<std::size_t>(i); }

class ExclusiveSim {
 public:
  ExclusiveSim(int num_groups, std::span<const SimStep> steps)
      : num_groups_(num_groups),
        steps_(steps),
        followers_(steps, &SimStep::waits_for),
        is_busy_(at(num_groups), 0) {
    const std::size_t count = steps.size();
    result_.begin_ms.assign(count, 0);
    result_.end_ms.assign(count, 0);
    pending_.resize(count);
    remaining_.resize(count);
    contention_.resize(count);
    rank_.resize(count);
    by_rank_.resize(count);
    std::iota(by_rank_.begin(), by_rank_.end(), 0);
    for (std::size_t i = 0; i < count; ++i) {
      pending_[i] = static_cast<int>(steps[i].waits_for.size());
      prepare(i);
    }
    std::stable_sort(by_rank_.begin(), by_rank_.end(),
                     [&](int a, int b) { return steps_[at(a)].priority > steps_[at(b)].priority; });
    for (std::size_t r = 0; r < count; ++r) rank_[at(by_rank_[r])] = static_cast<int>(r);
  }

  SimResult run() {
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      if (pending_[i] == 0) make_ready(static_cast<int>(i));
    }
    double used = 0;
    std::size_t done = 0;
    while (done < steps_.size()) {
      select();
      require(!active_.empty(), "no step can start: the list is not in a topological order");
      done += advance();
    }
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      used += (result_.end_ms[i] - result_.begin_ms[i]) * size(steps_[i]);
    }
    result_.round_ms = now_;
    result_.utilization = now_ > 0 ? used / (now_ * num_groups_) : 0;
    return std::move(result_);
  }

 private:
  static int size(const SimStep& step) { return step.group_end - step.group_begin; }

  void prepare(std::size_t i) {
    const SimStep& step = steps_[i];
    remaining_[i] = std::max(step.solo_ms, 1e-9);
    const double beside_copies = step.area_ms * num_groups_ / size(step);
    contention_[i] = std::sqrt(std::max(0.0, beside_copies / remaining_[i] - 1));
    for (int before : step.waits_for) {
      const SimStep& other = steps_[at(before)];
      if (other.group_begin != step.group_begin || other.group_end != step.group_end) {
        remaining_[i] += kHandOverMs;
        break;
      }
    }
  }

  void make_ready(int step) {
    const int rank = rank_[at(step)];
    ready_.insert(std::upper_bound(ready_.begin(), ready_.end(), rank), rank);
  }

  void select() {
    is_taken_ = is_busy_;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < ready_.size(); ++i) {
      const int index = by_rank_[at(ready_[i])];
      const SimStep& step = steps_[at(index)];
      bool is_free = true;
      for (int g = step.group_begin; g < step.group_end; ++g) {
        is_free = is_free && is_taken_[at(g)] == 0;
        is_taken_[at(g)] = 1;
      }
      if (!is_free) {
        ready_[kept++] = ready_[i];
        continue;
      }
      std::fill_n(is_busy_.begin() + step.group_begin, size(step), 1);
      result_.begin_ms[at(index)] = now_;
      active_.push_back(index);
    }
    ready_.resize(kept);
  }

  /// How many times longer a step takes beside what runs now.
  double slow_down(int index) const {
    const SimStep& step = steps_[at(index)];
    const int others = num_groups_ - size(step);
    if (others <= 0 || contention_[at(index)] <= 0) return 1;
    double beside = 0;
    for (int other : active_) {
      if (other != index) beside += contention_[at(other)] * size(steps_[at(other)]);
    }
    return 1 + contention_[at(index)] * beside / others;
  }

  /// Runs until the next step ends. Returns how many ended.
  std::size_t advance() {
    slow_.clear();
    double wait = 1e300;
    for (int index : active_) {
      slow_.push_back(slow_down(index));
      wait = std::min(wait, remaining_[at(index)] * slow_.back());
    }
    now_ += wait;
    ended_.clear();
    std::size_t kept = 0;
    for (std::size_t i = 0; i < active_.size(); ++i) {
      const int index = active_[i];
      remaining_[at(index)] -= wait / slow_[i];
      if (remaining_[at(index)] <= 1e-12) {
        ended_.push_back(index);
      } else {
        active_[kept++] = index;
      }
    }
    active_.resize(kept);
    for (int index : ended_) finish(index);
    return ended_.size();
  }

  void finish(int index) {
    const SimStep& step = steps_[at(index)];
    result_.end_ms[at(index)] = now_;
    std::fill_n(is_busy_.begin() + step.group_begin, size(step), 0);
    for (int next : followers_.of(index)) {
      if (--pending_[at(next)] == 0) make_ready(next);
    }
  }

  int num_groups_;
  std::span<const SimStep> steps_;
  Followers followers_;
  SimResult result_;
  double now_ = 0;
  std::vector<int> pending_;
  std::vector<double> remaining_;
  std::vector<double> contention_;
  std::vector<int> rank_;
  std::vector<int> by_rank_;
  std::vector<int> ready_;  ///< ranks, ascending
  std::vector<char> is_busy_;
  std::vector<char> is_taken_;
  std::vector<int> active_;
  std::vector<double> slow_;
  std::vector<int> ended_;
};

}  // namespace

SimResult simulate_exclusive(int num_groups, std::span<const SimStep> steps) {
  return ExclusiveSim(num_groups, steps).run();
}

}  // namespace gacer
