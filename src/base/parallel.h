#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace gacer {

/// A team of threads that work together on one step. The calling thread is member 0.
class Team {
 public:
  virtual ~Team() = default;
  virtual int size() const = 0;
  /// Runs body(member) once on each member, returns when all are done. Not reentrant. `body` must
  /// not throw when size() > 1.
  virtual void run(const std::function<void(int member)>& body) = 0;

  /// Splits [0, count) into contiguous ranges, one a member; runs inline when the count is below
  /// `grain`.
  void parallel_for(std::int64_t count, std::int64_t grain,
                    const std::function<void(std::int64_t begin, std::int64_t end)>& body) {
    if (count <= 0) return;
    if (size() == 1 || count <= grain) {
      body(0, count);
      return;
    }
    run([&](int member) {
      const std::int64_t begin = count * member / size();
      const std::int64_t end = count * (member + 1) / size();
      if (begin < end) body(begin, end);
    });
  }
};

/// The calling thread alone.
class SerialTeam final : public Team {
 public:
  int size() const override { return 1; }
  void run(const std::function<void(int)>& body) override { body(0); }
};

/// Threads that live for one run() each: enough where calls are long.
class ThreadTeam final : public Team {
 public:
  explicit ThreadTeam(int size) : size_(size) {}
  int size() const override { return size_; }
  void run(const std::function<void(int)>& body) override {
    std::vector<std::jthread> others;
    for (int member = 1; member < size_; ++member)
      others.emplace_back([&body, member] { body(member); });
    body(0);
  }

 private:
  int size_;
};

/// Cores that this process may use, at least 1.
inline int count_cores() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace gacer
