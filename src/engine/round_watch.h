#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace gacer {

/// Notices that a round does not end. A device that hangs holds the thread that waits for it and
/// whoever would free its memory, so that this can be told, but not be left.
class RoundWatch {
 public:
  /// `on_stuck` gets what is said of a round that takes longer than `limit`, on a thread of the
  /// watch's own, once a round.
  RoundWatch(std::chrono::milliseconds limit, std::function<void(const std::string&)> on_stuck);
  ~RoundWatch();
  RoundWatch(const RoundWatch&) = delete;
  RoundWatch& operator=(const RoundWatch&) = delete;

  /// A round is under way for as long as this lives; `what` names it, on the watch's thread. One at
  /// a time. Nothing is watched without a watch.
  class Round {
   public:
    Round(RoundWatch* watch, std::function<std::string()> what);
    ~Round();
    Round(const Round&) = delete;
    Round& operator=(const Round&) = delete;

   private:
    RoundWatch* watch_;
  };

 private:
  void wait();

  const std::chrono::milliseconds limit_;
  const std::function<void(const std::string&)> on_stuck_;
  std::mutex mutex_;
  std::condition_variable is_over_;
  bool ends_ = false;
  std::function<std::string()> what_;  ///< empty between rounds and once it was asked
  std::int64_t num_rounds_ = 0;
  std::thread thread_;
};

}  // namespace gacer
