#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <gacer/engine.h>

#include "profile/profile.h"

namespace gacer {

/// What a process that measures says of itself, one line of JSON each, on a pipe: so that the one
/// that started it knows which variant took it down.
class Announcer {
 public:
  /// Writes to `descriptor`, which stays the caller's and is closed in its children. From now on
  /// this process ends when its parent does. Error{kUsage} when the descriptor is not open.
  explicit Announcer(int descriptor);

  /// `row` names the variant whose measurement begins.
  void begin(const ProfileRow& row) const;
  /// That variant did no harm.
  void end() const;
  void progress(const Progress& progress) const;
  void warning(const std::string& text) const;

 private:
  void write(const std::string& text) const;

  int descriptor_;
};

/// How a process that measured ended.
struct MeasuringEnd {
  enum class How {
    kDone,
    kFailed,       ///< it said why: exit_code and text
    kInterrupted,  ///< because it was asked to
    kCrashed,      ///< by a signal
    kHung,         ///< it was killed: a variant took longer than any should, or it fell silent
  };
  How how = How::kDone;
  int exit_code = 0;
  std::string text;        ///< what happened, for people; the end of what it wrote to stderr
  bool has_begun = false;  ///< a variant, ever
  std::optional<ProfileRow> last;  ///< the variant that it was measuring (nothing but its name)
};

struct MeasuringOptions {
  /// For one variant.
  std::chrono::milliseconds patience{120000};
  /// Without a word, of whatever kind: opening a device, reading models and checking results take
  /// their time.
  std::chrono::milliseconds silence{600000};
  std::function<void(const Progress&)> on_progress;
  std::function<void(const std::string&)> on_warning;
  const std::atomic<bool>* is_cancelled = nullptr;
};

/// Runs `command` (a path and arguments) with "--announce 3" added until it ends, and listens to
/// its Announcer. When cancelled, it is interrupted, and killed if that takes longer than ten
/// seconds. Error{kIo} when it cannot be started.
MeasuringEnd run_measuring_process(const std::vector<std::string>& command,
                                   const MeasuringOptions& options);

}  // namespace gacer
