#pragma once

#include <memory>
#include <string>
#include <vector>

#include "profile/profile.h"

namespace gacer {

/// What is said of a profile without a path.
inline constexpr const char* kNoProfilePlace =
    "there is no place for the profile: neither XDG_CACHE_HOME nor HOME is set";

/// Profile rows in an SQLite file, of any number of devices. Several processes may use one file at
/// once (write-ahead log, waits of up to ten seconds for a lock). Not thread-safe.
class ProfileDb {
 public:
  /// What is done about a file that cannot be written: it is an error, or its rows are copied to a
  /// temporary file that goes with the object (see warnings()).
  enum class Unwritable { kFail, kCopy };

  /// Opens or creates the file and its folders; without a path there is no place to write. A
  /// profile that is damaged or of another schema is renamed to "PATH.corrupt-N" or
  /// "PATH.schema-V-N" and a new one begun: see warnings(). Error{kIo} names the path when it
  /// cannot be created or written, or is another program's.
  explicit ProfileDb(std::string path, Unwritable unwritable = Unwritable::kFail);
  ~ProfileDb();
  ProfileDb(ProfileDb&&) noexcept;
  ProfileDb& operator=(ProfileDb&&) noexcept;

  /// Of the file in use.
  const std::string& path() const;
  bool is_temporary() const;
  /// What a user should know of how the file was opened; usually empty.
  const std::vector<std::string>& warnings() const;

  /// Devices that have rows in the file. Error{kIo}.
  std::vector<std::string> devices() const;
  /// All rows of a device, rejected ones too. Error{kIo}.
  ProfileTable load(const std::string& device_id) const;

  /// Keeps a row (in place of one with the same key) until flush() or destruction.
  void store(const std::string& device_id, const ProfileRow& row);
  /// Commits what store() gathered: all or nothing. Error{kIo} names the path (full disk,
  /// read-only).
  void flush();
  /// Forgets the rows of a device; returns how many. Error{kIo}.
  std::int64_t erase(const std::string& device_id);
  /// The same for one node or chunk.
  std::int64_t erase(const std::string& device_id, const std::string& signature,
                     std::int64_t items);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gacer
