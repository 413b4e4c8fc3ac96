#include "engine/round_watch.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace gacer {

RoundWatch::RoundWatch(std::chrono::milliseconds limit,
                       std::function<void(const std::string&)> on_stuck)
    : limit_(limit), on_stuck_(std::move(on_stuck)), thread_([this] { wait(); }) {}

RoundWatch::~RoundWatch() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  is_over_.notify_one();
  thread_.join();
}

/// Looks up now and then: who begins a round, maybe a thousand times a second, wakes nobody. Adds
/// up its own waits: a process that was stopped for a while (Ctrl-Z, a debugger) has waited no
/// longer.
void RoundWatch::wait() {
  const auto look_up = std::clamp<std::chrono::milliseconds>(
      limit_ / 4, std::chrono::milliseconds(1), std::chrono::milliseconds(1000));
  std::int64_t seen = 0;
  std::chrono::milliseconds waited{0};
  std::unique_lock lock(mutex_);
  while (!is_over_.wait_for(lock, look_up, [this] { return ends_; })) {
    waited = what_ && seen == num_rounds_ ? waited + look_up : std::chrono::milliseconds(0);
    seen = num_rounds_;
    if (!what_ || waited < limit_) continue;
    // The round may end meanwhile; what it is about then stays until this is through.
    const auto what = std::exchange(what_, nullptr);
    on_stuck_(fmt::format("no end after {} s: {}", std::chrono::duration<double>(limit_).count(),
                          what()));
  }
}

RoundWatch::Round::Round(RoundWatch* watch, std::function<std::string()> what) : watch_(watch) {
  if (watch_ == nullptr) return;
  const std::lock_guard lock(watch_->mutex_);
  watch_->what_ = std::move(what);
  ++watch_->num_rounds_;
}

RoundWatch::Round::~Round() {
  if (watch_ == nullptr) return;
  const std::lock_guard lock(watch_->mutex_);
  watch_->what_ = nullptr;
}

}  // namespace gacer
