#include "backend/cuda/worker_pool.h"

#include <algorithm>
#include <system_error>
#include <utility>

namespace gacer::cuda {

void WorkerPool::start() {
  if (!threads_.empty()) return;
  constexpr unsigned kMost = 16;
  const unsigned cores = std::max(2U, std::thread::hardware_concurrency());
  try {
    for (unsigned i = 0; i < std::min(kMost, cores - 1); ++i)
      threads_.emplace_back([this] { work(); });
  } catch (const std::system_error&) {
    // Fewer do, or none: who asks for what no thread has begun builds it.
  }
}

WorkerPool::~WorkerPool() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_stopping_ = true;
    tasks_.clear();
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::add(std::function<void()> task) {
  const std::lock_guard<std::mutex> lock(mutex_);
  start();
  tasks_.push_back(std::move(task));
  changed_.notify_one();
}

void WorkerPool::add_in_front(std::function<void()> task) {
  const std::lock_guard<std::mutex> lock(mutex_);
  start();
  tasks_.push_front(std::move(task));
  changed_.notify_one();
}

void WorkerPool::drop() {
  std::unique_lock<std::mutex> lock(mutex_);
  tasks_.clear();
  idle_.wait(lock, [&] { return num_running_ == 0; });
}

void WorkerPool::work() {
  while (true) {
    std::function<void()> task;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [&] { return is_stopping_ || !tasks_.empty(); });
      if (is_stopping_) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
      ++num_running_;
    }
    task();
    task = nullptr;  // what it holds goes before anybody is told that it is over
    const std::lock_guard<std::mutex> lock(mutex_);
    if (--num_running_ == 0) idle_.notify_all();
  }
}

}  // namespace gacer::cuda
