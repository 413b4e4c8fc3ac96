#pragma once

#include <chrono>
#include <string>

#include <gacer/engine.h>

namespace gacer::cli {

/// Shows long work on stderr. On a terminal: one line that is redrawn (phase, bar, done/total, time
/// left). Elsewhere: a plain line at each new phase and every ten seconds. Not thread-safe.
class ProgressView {
 public:
  enum class Mode { kSilent, kLines, kBar };

  /// kBar on a terminal, else kLines; kSilent when `is_quiet`.
  static Mode mode_of(int file_descriptor, bool is_quiet);

  explicit ProgressView(Mode mode, bool use_color);
  ~ProgressView() { clear(); }
  ProgressView(const ProgressView&) = delete;
  ProgressView& operator=(const ProgressView&) = delete;

  void update(const Progress& progress);
  /// A line that stays, in any mode.
  void warn(const std::string& text);
  /// Removes the bar, so that other text can be printed.
  void clear();

  /// The text of a bar for a terminal of `columns`.
  static std::string bar_text(const Progress& progress, std::chrono::duration<double> elapsed,
                              std::size_t columns, bool use_color);
  static std::string line_text(const Progress& progress, std::chrono::duration<double> elapsed);

 private:
  using Clock = std::chrono::steady_clock;
  Mode mode_;
  bool use_color_;
  bool is_drawn_ = false;
  std::string phase_;
  Clock::time_point phase_begin_;
  Clock::time_point last_shown_;
};

}  // namespace gacer::cli
