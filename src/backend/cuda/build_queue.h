#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "backend/cuda/worker_pool.h"

namespace gacer::cuda {

/// What other threads build before it is asked for, by key. One thread adds and takes.
template <typename Built>
class BuildQueue {
 public:
  /// `workers` may do other work too and outlives the queue.
  explicit BuildQueue(WorkerPool& workers) : workers_(workers) {}
  ~BuildQueue() { workers_.drop(); }
  BuildQueue(const BuildQueue&) = delete;
  BuildQueue& operator=(const BuildQueue&) = delete;

  /// What was added and not taken is built in the order it came, what was added again before the
  /// rest; also what the workers had dropped.
  void add(const std::string& key, std::function<Built()> build) {
    const auto known = items_.find(key);
    if (known == items_.end()) {
      const auto item = std::make_shared<Item>(std::move(build));
      items_.emplace(key, item);
      workers_.add([item] { item->run(); });
    } else if (const std::shared_ptr<Item> item = known->second; !item->has_begun) {
      workers_.add_in_front([item] { item->run(); });
    }
  }

  /// What was built, or what building it threw. Builds it here if no thread has begun; waits if one
  /// has. Nothing if it was never added, or taken since.
  std::optional<Built> take(const std::string& key) {
    const auto found = items_.find(key);
    if (found == items_.end()) return std::nullopt;
    const std::shared_ptr<Item> item = std::move(found->second);
    items_.erase(found);
    item->run();
    return item->built.get();
  }

 private:
  struct Item {
    explicit Item(std::function<Built()> how) : build(std::move(how)), built(build.get_future()) {}
    void run() {
      if (!has_begun.exchange(true)) build();
    }
    std::packaged_task<Built()> build;
    std::future<Built> built;
    std::atomic<bool> has_begun = false;
  };

  WorkerPool& workers_;
  std::map<std::string, std::shared_ptr<Item>> items_;
};

}  // namespace gacer::cuda
