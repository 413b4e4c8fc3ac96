#include "backend/cuda/build_queue.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

namespace gacer::cuda {
namespace {

TEST(BuildQueue, GivesOnceWhatWasAdded) {
  WorkerPool workers;
  BuildQueue<int> queue(workers);
  queue.add("four", [] { return 4; });
  queue.add("five", [] { return 5; });
  EXPECT_EQ(queue.take("five"), 5);
  EXPECT_EQ(queue.take("four"), 4);
  EXPECT_EQ(queue.take("four"), std::nullopt);
  EXPECT_EQ(queue.take("six"), std::nullopt);
}

TEST(BuildQueue, BuildsOnceWhatWasAddedTwice) {
  std::atomic<int> builds = 0;
  WorkerPool workers;
  BuildQueue<int> queue(workers);
  for (int i = 0; i < 100; ++i)
    for (int again = 0; again < 3; ++again)
      queue.add(std::to_string(i), [&builds, i] { return ++builds, i; });
  for (int i = 99; i >= 0; --i) EXPECT_EQ(queue.take(std::to_string(i)), i);
  EXPECT_EQ(builds, 100);
}

TEST(BuildQueue, TellsWhatWentWrongToWhoAsks) {
  WorkerPool workers;
  BuildQueue<int> queue(workers);
  queue.add("bad", []() -> int { throw std::runtime_error("no such engine"); });
  EXPECT_THROW(queue.take("bad"), std::runtime_error);
  EXPECT_EQ(queue.take("bad"), std::nullopt);
}

/// All threads wait until the test lets them go; builds tell who built.
class BusyQueue : public testing::Test {
 protected:
  BusyQueue() {
    for (unsigned i = 0; i < most_threads(); ++i)
      queue_.add("busy " + std::to_string(i),
                 [this] { return is_busy_ = true, gate_.wait(), self(); });
  }
  ~BusyQueue() override { open(); }
  void open() {
    if (!std::exchange(is_open_, true)) promise_.set_value();
  }
  static unsigned most_threads() { return std::max(2U, std::thread::hardware_concurrency()); }
  static std::thread::id self() { return std::this_thread::get_id(); }

  std::promise<void> promise_;
  std::shared_future<void> gate_ = promise_.get_future().share();
  bool is_open_ = false;
  std::atomic<bool> is_busy_ = false;
  WorkerPool workers_;
  BuildQueue<std::thread::id> queue_{workers_};
};

TEST_F(BusyQueue, BuildsHereWhatNoThreadHasBegun) {
  queue_.add("waits", [] { return self(); });
  EXPECT_EQ(queue_.take("waits"), self());
}

TEST_F(BusyQueue, BuildsFirstWhatWasAddedAgain) {
  std::atomic<unsigned> begun = 0;
  unsigned place = 0;
  for (int i = 0; i < 200; ++i) queue_.add(std::to_string(i), [&] { return ++begun, self(); });
  const auto last = [&] { return place = ++begun, self(); };
  queue_.add("last", last);
  queue_.add("last", last);
  open();
  while (begun < 201) std::this_thread::yield();
  EXPECT_NE(queue_.take("last"), self());
  EXPECT_LE(place, most_threads());
}

TEST_F(BusyQueue, DroppingForgetsWhatNoThreadHasBegunAndWaitsForTheRest) {
  std::atomic<int> begun = 0;
  for (const char* key : {"taken", "added again"}) queue_.add(key, [&] { return ++begun, self(); });
  auto token = std::make_shared<int>();
  const std::weak_ptr<int> is_waiting = token;
  workers_.add([token = std::move(token)] {});
  while (!is_busy_) std::this_thread::yield();
  std::atomic<bool> was_opened = false;
  std::thread opener([&] {
    while (!is_waiting.expired()) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    was_opened = true;
    open();
  });
  workers_.drop();
  EXPECT_TRUE(was_opened) << "a thread still built";
  opener.join();
  EXPECT_EQ(begun, 0);
  EXPECT_EQ(queue_.take("taken"), self());
  queue_.add("added again", [&] { return ++begun, self(); });
  while (begun < 2) std::this_thread::yield();
  EXPECT_NE(queue_.take("added again"), self());
  workers_.drop();
}

}  // namespace
}  // namespace gacer::cuda
