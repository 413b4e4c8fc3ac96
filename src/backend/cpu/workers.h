#pragma once

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/parallel.h"

namespace gacer::cpu {

class WorkerGroup;

/// Work for one worker: a function without allocation, so that posting is cheap.
struct Task {
  void (*run)(void* context, int argument) = nullptr;
  void* context = nullptr;
  int argument = 0;
};

/// The workers that run one step together: neighbours in a group, the first one leads. Only the
/// leader's thread calls. The others wait in their mailboxes and are called in for each region.
class StepTeam final : public Team {
 public:
  int size() const override { return size_; }
  /// As Team::run, but an exception of any member is rethrown here after all have finished.
  void run(const std::function<void(int member)>& body) override;

  /// Calls members 1 … num_members-1 in to run `function(context, member)`; the caller does member
  /// 0's part itself and then waits in end_region(). At most size() members.
  void begin_region(void (*function)(void* context, int member), void* context, int num_members);
  void end_region();
  /// Waits until all members of the current region are here. Called by every member.
  void barrier();

 private:
  friend class WorkerGroup;
  static void run_member(void* team, int member);

  WorkerGroup* group_ = nullptr;
  int first_ = 0;
  int size_ = 1;
  void (*function_)(void*, int) = nullptr;
  void* context_ = nullptr;
  int region_size_ = 1;
  alignas(64) std::atomic<int> running_{0};
  alignas(64) std::atomic<int> arrived_{0};
  std::atomic<unsigned> barrier_phase_{0};
};

struct WorkerOptions {
  /// Cores that the group may use. Worker i is pinned to cores[i], or all may run on all of them.
  std::vector<int> cores;
  bool is_pinned = true;
  /// How long a worker or leader spins before it sleeps.
  std::chrono::microseconds spin{50};
};

/// Threads, one a core, each with a mailbox for one task. Who posts where is the program's
/// business: a mailbox must be empty. Thread-safe in that sense.
class WorkerGroup {
 public:
  /// Starts `size` workers. Error{kDevice} when threads cannot be made.
  WorkerGroup(int size, WorkerOptions options);
  ~WorkerGroup();
  WorkerGroup(const WorkerGroup&) = delete;
  WorkerGroup& operator=(const WorkerGroup&) = delete;

  int size() const { return static_cast<int>(slots_.size()); }
  void post(int worker, const Task& task);
  /// The team of workers [first, first + size), led by `first`: valid until asked for again with
  /// the same leader.
  StepTeam& team(int first, int size);

 private:
  friend class StepTeam;
  struct alignas(64) Slot {
    std::atomic<int> state{0};  // 0: empty, 1: a task
    Task task;
    StepTeam team;
    std::thread thread;
  };
  void work(Slot& slot);
  /// Spins, then sleeps, while `value` equals `old`.
  template <typename T>
  void wait_while(const std::atomic<T>& value, T old) const;
  void stop();

  WorkerOptions options_;
  std::vector<std::unique_ptr<Slot>> slots_;
};

}  // namespace gacer::cpu
