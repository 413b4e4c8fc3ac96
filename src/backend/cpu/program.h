#pragma once

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <span>
#include <vector>

#include "backend/cpu/recorder.h"
#include "backend/cpu/workers.h"
#include "device/device.h"

namespace gacer::cpu {

/// Steps scheduled on a group of workers. A step starts when the steps that it waits for are done
/// and all cores of its budget are free; of those that could start, higher priority goes first,
/// then list order. A step that waits only for cores keeps the free ones of its budget, so wide
/// steps are not starved. Running steps need nothing more, hence no deadlock.
class CpuProgram final : public Program {
 public:
  /// `steps` as Device::assemble. Error{kPlan} when a variant's team does not fit its budget.
  CpuProgram(WorkerGroup& group, std::span<const ProgramStep> steps);

  double run() override;
  int num_launches() const override { return num_launches_; }
  std::vector<StepTime> run_traced() override;

  /// For run_free: starts `repeats` rounds on another group of the same size, and waits for them
  /// (rethrows what a step threw). The end of the last round is end_time().
  void start(WorkerGroup& group, int repeats);
  void wait();
  std::chrono::steady_clock::time_point end_time() const { return end_time_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct StepState {
    const CpuCapture* capture = nullptr;
    int first = 0;  ///< worker
    int size = 1;
    int rank = 0;  ///< place in ready_order_
    int num_waits = 0;
    std::vector<int> dependents;
    int pending = 0;  ///< of this round, under mutex_
  };

  static void run_step(void* program, int step);
  void execute(int step);
  // Under mutex_:
  void begin_round();
  void make_ready(int step);
  void finish(int step, std::exception_ptr error);
  /// Takes the steps that may start now out of ready_ into starting_.
  void select();

  WorkerGroup& home_;
  std::vector<StepState> steps_;
  std::vector<int> ready_order_;  ///< steps by priority, then list order
  int num_launches_ = 0;

  std::mutex mutex_;
  std::condition_variable done_signal_;
  WorkerGroup* group_ = nullptr;
  std::vector<int> ready_;  ///< ranks, ascending
  std::vector<char> is_busy_;
  std::vector<char> is_taken_;  ///< scratch of select()
  int running_ = 0;
  int remaining_ = 0;
  int rounds_left_ = 0;
  bool is_done_ = true;
  std::exception_ptr error_;
  Clock::time_point begin_time_;
  Clock::time_point end_time_;
  std::vector<StepTime>* trace_ = nullptr;
};

}  // namespace gacer::cpu
