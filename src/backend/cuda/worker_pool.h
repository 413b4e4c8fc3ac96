#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace gacer::cuda {

/// Threads that do tasks, those added in front first and the rest in the order they came. Tasks
/// must not throw; those not begun when the pool goes are dropped. The threads start with the first
/// task.
class WorkerPool {
 public:
  WorkerPool() = default;
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  void add(std::function<void()> task);
  void add_in_front(std::function<void()> task);
  /// Forgets what no thread has begun and waits for the rest.
  void drop();

 private:
  void start();
  void work();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable idle_;
  int num_running_ = 0;
  bool is_stopping_ = false;
  std::deque<std::function<void()>> tasks_;
  std::vector<std::thread> threads_;
};

}  // namespace gacer::cuda
