#include "tools/gacer/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <fmt/format.h>

namespace gacer::cli {
namespace {

using Seconds = std::chrono::duration<double>;

std::size_t terminal_columns() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20) return 80;
  return size.ws_col;
}

/// "12 s left", "3 min left"; empty while nothing can be said.
std::string time_left(const Progress& progress, Seconds elapsed) {
  if (progress.total <= 0 || progress.done <= 0 || elapsed < Seconds(0.5)) return {};
  const auto rest = static_cast<double>(std::max<std::int64_t>(0, progress.total - progress.done));
  const double seconds = elapsed.count() * rest / static_cast<double>(progress.done);
  return seconds < 90 ? fmt::format("{:.0f} s left", seconds)
                      : fmt::format("{:.0f} min left", seconds / 60);
}

std::string count_text(const Progress& progress) {
  if (progress.total <= 0) return progress.done > 0 ? std::to_string(progress.done) : std::string();
  return fmt::format("{}/{}", std::min(progress.done, progress.total), progress.total);
}

}  // namespace

ProgressView::Mode ProgressView::mode_of(int file_descriptor, bool is_quiet) {
  if (is_quiet) return Mode::kSilent;
  const char* terminal = std::getenv("TERM");
  const bool is_capable = terminal != nullptr && std::string_view(terminal) != "dumb";
  return ::isatty(file_descriptor) != 0 && is_capable ? Mode::kBar : Mode::kLines;
}

ProgressView::ProgressView(Mode mode, bool use_color) : mode_(mode), use_color_(use_color) {}

std::string ProgressView::bar_text(const Progress& progress, Seconds elapsed, std::size_t columns,
                                   bool use_color) {
  constexpr std::size_t kBarCells = 24;
  std::string bar;
  if (progress.total > 0) {
    const auto total = static_cast<double>(progress.total);
    const double share = std::clamp(static_cast<double>(progress.done) / total, 0.0, 1.0);
    const auto full = static_cast<std::size_t>(share * kBarCells);
    bar = use_color ? "\x1b[32m" : "";
    for (std::size_t i = 0; i < kBarCells; ++i) {
      if (i == full && use_color) bar += "\x1b[0;2m";
      bar += use_color ? "━" : (i < full ? "#" : ".");
    }
    bar += use_color ? "\x1b[0m  " : "  ";
  }
  const std::size_t bar_width = progress.total > 0 ? kBarCells + 2 : 0;
  const std::string phase = fmt::format("{:<16}  ", progress.phase);
  std::string rest = count_text(progress);
  for (const std::string& part : {time_left(progress, elapsed), progress.detail})
    if (!part.empty()) rest += (rest.empty() ? "" : "  ") + part;
  const std::size_t used = phase.size() + bar_width;
  if (used + rest.size() >= columns) rest.resize(columns > used ? columns - used - 1 : 0);
  return phase + bar + rest;
}

std::string ProgressView::line_text(const Progress& progress, Seconds elapsed) {
  std::string text = progress.phase;
  const std::string count = count_text(progress);
  if (!count.empty()) text += " " + count;
  const std::string left = time_left(progress, elapsed);
  if (!left.empty()) text += ", " + left;
  return text;
}

void ProgressView::update(const Progress& progress) {
  if (mode_ == Mode::kSilent) return;
  const Clock::time_point now = Clock::now();
  const bool is_new = progress.phase != phase_;
  if (is_new) {
    phase_ = progress.phase;
    phase_begin_ = now;
  }
  const auto period =
      mode_ == Mode::kBar ? std::chrono::milliseconds(80) : std::chrono::seconds(10);
  if (!is_new && now - last_shown_ < period) return;
  last_shown_ = now;
  const Seconds elapsed = now - phase_begin_;
  if (mode_ == Mode::kBar) {
    fmt::print(stderr, "\r\x1b[K{}", bar_text(progress, elapsed, terminal_columns(), use_color_));
    is_drawn_ = true;
  } else {
    fmt::print(stderr, "gacer: {}\n", line_text(progress, elapsed));
  }
  std::fflush(stderr);
}

void ProgressView::warn(const std::string& text) {
  clear();
  fmt::print(stderr, "gacer: warning: {}\n", text);
  std::fflush(stderr);
}

void ProgressView::clear() {
  if (!is_drawn_) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  is_drawn_ = false;
}

}  // namespace gacer::cli
