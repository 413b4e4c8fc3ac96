#include "backend/cpu/program.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace gacer::cpu {
namespace {

double milliseconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

}  // namespace

CpuProgram::CpuProgram(WorkerGroup& group, std::span<const ProgramStep> steps)
    : home_(group), steps_(steps.size()), ready_order_(steps.size()) {
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const ProgramStep& from = steps[i];
    StepState& to = steps_[i];
    to.capture = dynamic_cast<const CpuCapture*>(from.capture);
    require(to.capture != nullptr, "step {} has no capture of the CPU backend", i);
    to.size = from.budget.size(group.size());
    to.first = from.budget.is_all() ? 0 : from.budget.begin;
    if (to.first < 0 || to.first + to.size > group.size())
      fail(ErrorKind::kPlan, "step {} has the budget [{}, {}) on a device of {} cores", i, to.first,
           to.first + to.size, group.size());
    if (to.capture->team_size() != to.size)
      fail(ErrorKind::kPlan, "step {} was built for {} threads but has a budget of {} cores", i,
           to.capture->team_size(), to.size);
    num_launches_ += to.capture->num_launches();
    std::vector<int> waits = from.waits_for;
    std::sort(waits.begin(), waits.end());
    waits.erase(std::unique(waits.begin(), waits.end()), waits.end());
    for (int before : waits) {
      require(before >= 0 && static_cast<std::size_t>(before) < i, "step {} waits for step {}", i,
              before);
      steps_[static_cast<std::size_t>(before)].dependents.push_back(static_cast<int>(i));
    }
    to.num_waits = static_cast<int>(waits.size());
  }
  std::iota(ready_order_.begin(), ready_order_.end(), 0);
  std::stable_sort(ready_order_.begin(), ready_order_.end(), [&](int a, int b) {
    return steps[static_cast<std::size_t>(a)].priority >
           steps[static_cast<std::size_t>(b)].priority;
  });
  for (std::size_t rank = 0; rank < ready_order_.size(); ++rank)
    steps_[static_cast<std::size_t>(ready_order_[rank])].rank = static_cast<int>(rank);
}

double CpuProgram::run() {
  start(home_, 1);
  wait();
  return milliseconds(end_time_ - begin_time_);
}

std::vector<StepTime> CpuProgram::run_traced() {
  std::vector<StepTime> times(steps_.size());
  trace_ = &times;
  try {
    run();
  } catch (...) {
    trace_ = nullptr;
    throw;
  }
  trace_ = nullptr;
  return times;
}

void CpuProgram::start(WorkerGroup& group, int repeats) {
  const std::lock_guard lock(mutex_);
  require(is_done_, "a program was started while it runs");
  require(group.size() == home_.size(), "a program for {} workers on a group of {}", home_.size(),
          group.size());
  group_ = &group;
  error_ = nullptr;
  is_busy_.assign(static_cast<std::size_t>(group.size()), 0);
  running_ = 0;
  rounds_left_ = steps_.empty() ? 0 : repeats;
  is_done_ = rounds_left_ <= 0;
  begin_time_ = end_time_ = Clock::now();
  if (!is_done_) {
    begin_round();
    select();
  }
}

void CpuProgram::wait() {
  std::unique_lock lock(mutex_);
  done_signal_.wait(lock, [&] { return is_done_; });
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void CpuProgram::begin_round() {
  remaining_ = static_cast<int>(steps_.size());
  ready_.clear();
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    steps_[i].pending = steps_[i].num_waits;
    if (steps_[i].pending == 0) make_ready(static_cast<int>(i));
  }
}

void CpuProgram::make_ready(int step) {
  const int rank = steps_[static_cast<std::size_t>(step)].rank;
  ready_.insert(std::upper_bound(ready_.begin(), ready_.end(), rank), rank);
}

void CpuProgram::select() {
  is_taken_ = is_busy_;
  auto num_free = std::count(is_taken_.begin(), is_taken_.end(), 0);
  std::size_t kept = 0;
  std::size_t next = 0;
  for (; next < ready_.size() && num_free > 0; ++next) {
    const int index = ready_order_[static_cast<std::size_t>(ready_[next])];
    const StepState& step = steps_[static_cast<std::size_t>(index)];
    const auto begin = is_taken_.begin() + step.first;
    const auto num_taken = std::count(begin, begin + step.size, 1);
    std::fill(begin, begin + step.size, 1);
    num_free -= step.size - num_taken;
    if (num_taken > 0) {
      ready_[kept++] = ready_[next];
      continue;
    }
    std::fill_n(is_busy_.begin() + step.first, step.size, 1);
    ++running_;
    group_->post(step.first, Task{run_step, this, index});
  }
  ready_.erase(ready_.begin() + static_cast<std::ptrdiff_t>(kept),
               ready_.begin() + static_cast<std::ptrdiff_t>(next));
}

void CpuProgram::run_step(void* program, int step) {
  static_cast<CpuProgram*>(program)->execute(step);
}

void CpuProgram::execute(int index) {
  const StepState& step = steps_[static_cast<std::size_t>(index)];
  const Clock::time_point begin = trace_ != nullptr ? Clock::now() : Clock::time_point{};
  std::exception_ptr error;
  try {
    step.capture->run(group_->team(step.first, step.size));
  } catch (...) {
    error = std::current_exception();
  }
  if (trace_ != nullptr)
    (*trace_)[static_cast<std::size_t>(index)] = {index, milliseconds(begin - begin_time_),
                                                  milliseconds(Clock::now() - begin_time_),
                                                  step.first};
  const std::lock_guard lock(mutex_);
  finish(index, std::move(error));
}

void CpuProgram::finish(int index, std::exception_ptr error) {
  const StepState& step = steps_[static_cast<std::size_t>(index)];
  std::fill_n(is_busy_.begin() + step.first, step.size, 0);
  --running_;
  --remaining_;
  if (error && !error_) error_ = std::move(error);
  if (error_) {
    // Nothing more starts; the last running step ends the run.
    ready_.clear();
    rounds_left_ = 0;
  } else {
    for (int dependent : step.dependents)
      if (--steps_[static_cast<std::size_t>(dependent)].pending == 0) make_ready(dependent);
    if (remaining_ == 0 && --rounds_left_ > 0) begin_round();
    if (remaining_ > 0) return select();
  }
  if (running_ == 0) {
    end_time_ = Clock::now();
    is_done_ = true;
    // Under the lock: the waiter may destroy the program as soon as it has it.
    done_signal_.notify_all();
  }
}

}  // namespace gacer::cpu
