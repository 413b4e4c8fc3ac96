#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "cost/step_sim.h"
#include "plan/followers.h"

namespace gacer {
namespace {

// What a step keeps of its groups beside steps of higher priority: running blocks are not evicted.
constexpr double kFloor = 0.05;

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// One step while it runs.
struct Running {
  int index = 0;
  int first_region = 0;
  int last_region = 0;  ///< behind the last
  double gap_ms = 0;    ///< until it begins
  double groups = 1;
  double demand = 0;  ///< groups' worth of area at full speed
  double remaining_ms = 0;
  double speed = 1;
};

class SharedSim {
 public:
  SharedSim(int num_groups, std::span<const SimStep> steps, const Contention& contention)
      : num_groups_(num_groups),
        steps_(steps),
        contention_(contention),
        followers_(steps, &SimStep::waits_for) {
    const std::size_t count = steps.size();
    result_.begin_ms.assign(count, 0);
    result_.end_ms.assign(count, 0);
    pending_.resize(count);
    for (std::size_t i = 0; i < count; ++i)
      pending_[i] = static_cast<int>(steps[i].waits_for.size());
    find_regions();
    find_set_changes();
  }

  SimResult run() {
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      if (pending_[i] == 0) start(static_cast<int>(i));
    }
    double area = 0;
    std::size_t done = 0;
    while (done < steps_.size()) {
      require(!active_.empty(), "no step can start: the list is not in a topological order");
      set_speeds();
      done += advance();
    }
    for (const SimStep& step : steps_) area += step.area_ms;
    result_.round_ms = now_;
    result_.utilization = now_ > 0 ? std::min(1.0, area / now_) : 0;
    return std::move(result_);
  }

 private:
  /// Budgets are few: groups that the same steps use are one region.
  void find_regions() {
    std::vector<char> is_edge(at(num_groups_) + 1, 0);
    for (const SimStep& step : steps_)
      is_edge[at(step.group_begin)] = is_edge[at(step.group_end)] = 1;
    is_edge[0] = is_edge[at(num_groups_)] = 1;
    region_of_.assign(at(num_groups_) + 1, 0);
    for (int g = 0, begin = 0; g <= num_groups_; ++g) {
      if (g > 0 && is_edge[at(g)]) {
        region_size_.push_back(g - begin);
        begin = g;
      }
      region_of_[at(g)] = static_cast<int>(region_size_.size());
    }
    left_.resize(region_size_.size());
    asked_.resize(region_size_.size());
  }

  void find_set_changes() {
    changes_set_.assign(steps_.size(), 0);
    std::vector<int> last;
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      if (at(steps_[i].lane) >= last.size()) last.resize(at(steps_[i].lane) + 1, -1);
      int& before = last[at(steps_[i].lane)];
      if (before >= 0) {
        const SimStep& other = steps_[at(before)];
        changes_set_[i] =
            other.group_begin != steps_[i].group_begin || other.group_end != steps_[i].group_end;
      }
      before = static_cast<int>(i);
    }
  }

  void start(int index) {
    const SimStep& step = steps_[at(index)];
    Running running;
    running.index = index;
    running.first_region = region_of_[at(step.group_begin)];
    running.last_region = region_of_[at(step.group_end)];
    running.groups = step.group_end - step.group_begin;
    running.remaining_ms = std::max(step.solo_ms, 1e-9);
    running.gap_ms = contention_.launch_gap_ms * step.launches +
                     contention_.crowd_gap_ms *
                         std::min<double>(kMostCrowding, static_cast<double>(active_.size()));
    if (changes_set_[at(index)]) running.gap_ms += contention_.set_change_ms;
    running.demand = std::min(running.groups, step.area_ms * num_groups_ / running.remaining_ms);
    result_.begin_ms[at(index)] = now_;
    const auto place = std::upper_bound(active_.begin(), active_.end(), running,
                                        [&](const Running& a, const Running& b) {
                                          const int pa = steps_[at(a.index)].priority;
                                          const int pb = steps_[at(b.index)].priority;
                                          return pa != pb ? pa > pb : a.index < b.index;
                                        });
    active_.insert(place, running);
  }

  /// Serves the steps of each priority, highest first, from what is left of each region.
  void set_speeds() {
    for (std::size_t r = 0; r < left_.size(); ++r) left_[r] = region_size_[r];
    for (std::size_t begin = 0; begin < active_.size();) {
      const int priority = steps_[at(active_[begin].index)].priority;
      std::size_t end = begin;
      std::fill(asked_.begin(), asked_.end(), 0.0);
      for (; end < active_.size() && steps_[at(active_[end].index)].priority == priority; ++end) {
        const Running& step = active_[end];
        if (step.gap_ms > 0) continue;
        for (int r = step.first_region; r < step.last_region; ++r) {
          asked_[at(r)] += step.demand * region_size_[at(r)] / step.groups;
        }
      }
      for (std::size_t i = begin; i < end; ++i) {
        Running& step = active_[i];
        step.speed = 0;
        for (int r = step.first_region; r < step.last_region; ++r) {
          step.speed += granted(at(r)) * region_size_[at(r)] / step.groups;
        }
      }
      for (std::size_t r = 0; r < left_.size(); ++r) left_[r] -= asked_[r] * granted(r);
      begin = end;
    }
    if (contention_.interference > 0) interfere();
  }

  /// Caches and memory are everyone's, whoever has the groups.
  void interfere() {
    const auto share = [&](const Running& step) {
      return step.gap_ms > 0 ? 0 : step.speed * step.demand / num_groups_;
    };
    double all = 0;
    for (const Running& step : active_) all += share(step);
    for (Running& step : active_)
      step.speed /= 1 + contention_.interference * std::min(1.0, std::max(0.0, all - share(step)));
  }

  /// Share of what one priority asks of a region that it gets.
  double granted(std::size_t region) const {
    const double left = std::max(left_[region], kFloor * region_size_[region]);
    return asked_[region] <= left ? 1.0 : left / asked_[region];
  }

  std::size_t advance() {
    double wait = 1e300;
    for (const Running& step : active_)
      wait = std::min(wait, step.gap_ms > 0 ? step.gap_ms : step.remaining_ms / step.speed);
    now_ += wait;
    ended_.clear();
    std::size_t kept = 0;
    for (std::size_t i = 0; i < active_.size(); ++i) {
      Running& step = active_[i];
      if (step.gap_ms > 0) {
        step.gap_ms = step.gap_ms - wait > 1e-12 ? step.gap_ms - wait : 0;
      } else {
        step.remaining_ms -= wait * step.speed;
      }
      if (step.remaining_ms <= 1e-12) {
        ended_.push_back(active_[i].index);
      } else {
        active_[kept++] = active_[i];
      }
    }
    active_.resize(kept);
    for (int index : ended_) {
      result_.end_ms[at(index)] = now_;
      for (int next : followers_.of(index)) {
        if (--pending_[at(next)] == 0) start(next);
      }
    }
    return ended_.size();
  }

  int num_groups_;
  std::span<const SimStep> steps_;
  Contention contention_;
  Followers followers_;
  SimResult result_;
  double now_ = 0;
  std::vector<int> pending_;
  std::vector<char> changes_set_;
  std::vector<int> region_of_;  ///< of a group; of the end: behind the last
  std::vector<double> region_size_;
  std::vector<double> left_;
  std::vector<double> asked_;
  std::vector<Running> active_;  ///< by priority, then list order
  std::vector<int> ended_;
};

}  // namespace

SimResult simulate_shared(int num_groups, std::span<const SimStep> steps,
                          const Contention& contention) {
  return SharedSim(num_groups, steps, contention).run();
}

}  // namespace gacer
