#include "profile/profile_db.h"

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <thread>
#include <utility>

#include <sqlite3.h>

#include "base/error.h"

namespace gacer {
namespace {

namespace fs = std::filesystem;

// Raise when the columns or the meaning of a column changes.
constexpr int kSchema = 2;
// "GACR": tells our files from other SQLite files.
constexpr int kApplicationId = 0x47414352;
constexpr int kBusyTimeoutMs = 10000;

constexpr const char* kCreate =
    "CREATE TABLE IF NOT EXISTS rows ("
    " device TEXT NOT NULL, signature TEXT NOT NULL, items INTEGER NOT NULL,"
    " variant TEXT NOT NULL, width INTEGER NOT NULL,"
    " solo_ms REAL NOT NULL, saturated_ms REAL NOT NULL, flop REAL NOT NULL, bytes REAL NOT NULL,"
    " workspace_bytes INTEGER NOT NULL, launches INTEGER NOT NULL,"
    " footprint TEXT NOT NULL, rejected TEXT NOT NULL,"
    " PRIMARY KEY (device, signature, items, variant, width)) WITHOUT ROWID";

struct Connection {
  sqlite3* handle = nullptr;
  Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { sqlite3_close_v2(handle); }
};

/// An Error that remembers whether the file itself is at fault.
class SqliteError : public Error {
 public:
  SqliteError(std::string message, int code)
      : Error(ErrorKind::kIo, std::move(message)),
        is_damage_(code == SQLITE_CORRUPT || code == SQLITE_NOTADB) {}
  bool is_damage() const { return is_damage_; }

 private:
  bool is_damage_;
};

/// A profile's place that does not let this process write.
class UnwritableError : public Error {
 public:
  explicit UnwritableError(std::string message) : Error(ErrorKind::kIo, std::move(message)) {}
};

constexpr const char* kAdvice = "name a file that can be written with --db";

[[noreturn]] void fail_sqlite(sqlite3* handle, const std::string& path, const char* what) {
  const int code = handle ? sqlite3_errcode(handle) : SQLITE_NOMEM;
  std::string text = fmt::format("profile '{}': cannot {}: {}", path, what,
                                 handle ? sqlite3_errmsg(handle) : "out of memory");
  if (code == SQLITE_READONLY || code == SQLITE_CANTOPEN || code == SQLITE_PERM)
    throw UnwritableError(std::move(text));
  throw SqliteError(std::move(text), code);
}

void execute(sqlite3* handle, const std::string& path, const char* sql, const char* what) {
  if (sqlite3_exec(handle, sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    fail_sqlite(handle, path, what);
  }
}

/// One prepared statement, bound and stepped in place.
class Statement {
 public:
  Statement(sqlite3* handle, const std::string& path, const char* sql)
      : handle_(handle), path_(path) {
    if (sqlite3_prepare_v2(handle, sql, -1, &statement_, nullptr) != SQLITE_OK) {
      fail_sqlite(handle, path, "prepare a statement");
    }
  }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { sqlite3_finalize(statement_); }

  void bind(const std::string& text) {
    sqlite3_bind_text(statement_, ++bound_, text.data(), static_cast<int>(text.size()),
                      SQLITE_TRANSIENT);
  }
  void bind(std::int64_t number) { sqlite3_bind_int64(statement_, ++bound_, number); }
  void bind(double number) { sqlite3_bind_double(statement_, ++bound_, number); }

  /// True while there is a row.
  bool step(const char* what) {
    const int status = sqlite3_step(statement_);
    if (status == SQLITE_ROW) return true;
    if (status != SQLITE_DONE) fail_sqlite(handle_, path_, what);
    return false;
  }

  std::string text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    return bytes ? std::string(bytes,
                               static_cast<std::size_t>(sqlite3_column_bytes(statement_, column)))
                 : std::string();
  }
  std::int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  double number(int column) const { return sqlite3_column_double(statement_, column); }

 private:
  sqlite3* handle_;
  const std::string& path_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

/// Why a profile cannot be used although it can be read: its new name's suffix and words for
/// people.
struct Unusable {
  std::string suffix;
  std::string reason;
};

/// Moves a file (and its log, which belongs to it) to the first free name.
std::string move_aside(const std::string& path, const std::string& suffix) {
  for (int n = 1;; ++n) {
    const std::string target = fmt::format("{}.{}-{}", path, suffix, n);
    std::error_code error;
    if (fs::exists(target, error)) continue;
    fs::rename(path, target, error);
    if (error) {
      throw UnwritableError(fmt::format("profile '{}': cannot be used nor renamed to '{}': {}",
                                        path, target, error.message()));
    }
    for (const char* tail : {"-wal", "-shm"}) fs::rename(path + tail, target + tail, error);
    return target;
  }
}

int pragma(sqlite3* handle, const std::string& path, const char* sql) {
  Statement statement(handle, path, sql);
  return statement.step("read the header") ? static_cast<int>(statement.integer(0)) : 0;
}

[[noreturn]] void fail_foreign(const std::string& path, const char* what) {
  fail(ErrorKind::kIo, "profile '{}': the file is {}; name another one with --db or move it away",
       path, what);
}

/// Checks a file of any origin. Returns true when it is empty and must be set up.
bool check_file(sqlite3* handle, const std::string& path, std::optional<Unusable>& unusable) {
  // One transaction: another process may be setting the file up right now.
  execute(handle, path, "BEGIN", "begin a transaction");
  const bool is_new = pragma(handle, path, "PRAGMA schema_version") == 0;
  const int version = pragma(handle, path, "PRAGMA user_version");
  const int application = pragma(handle, path, "PRAGMA application_id");
  execute(handle, path, "COMMIT", "end a transaction");
  if (is_new) return true;
  if (application != kApplicationId) fail_foreign(path, "a database of another program");
  if (version != kSchema) {
    unusable = {fmt::format("schema-{}", version),
                fmt::format("its schema is {}, this build's is {}", version, kSchema)};
  } else {
    Statement check(handle, path, "PRAGMA quick_check(1)");
    const bool has_row = check.step("check the file");
    if (!has_row || check.text(0) != "ok") {
      unusable = {"corrupt", has_row ? check.text(0) : "the check says nothing"};
    }
  }
  return false;
}

void set_up(sqlite3* handle, const std::string& path) {
  execute(handle, path, "BEGIN IMMEDIATE", "begin a transaction");
  execute(handle, path, kCreate, "create the table");
  execute(handle, path, fmt::format("PRAGMA user_version={}", kSchema).c_str(), "set the schema");
  execute(handle, path, fmt::format("PRAGMA application_id={}", kApplicationId).c_str(),
          "set the application id");
  execute(handle, path, "COMMIT", "commit");
}

/// The switch needs the file for itself and does not wait: while others are at work it may stay as
/// it is, which only costs speed.
void use_write_ahead_log(sqlite3* handle, const std::string& path) {
  for (int attempt = 0; attempt < 20; ++attempt) {
    const int status = sqlite3_exec(handle, "PRAGMA journal_mode=WAL", nullptr, nullptr, nullptr);
    if (status == SQLITE_OK) break;
    if (status != SQLITE_BUSY && status != SQLITE_LOCKED) {
      fail_sqlite(handle, path, "switch to a write-ahead log");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  execute(handle, path, "PRAGMA synchronous=NORMAL", "set the sync mode");
}

/// Opens, checks and (when it is empty) sets up a file. Returns why it cannot be used, if so.
std::optional<Unusable> open_file(Connection& connection, const std::string& path) {
  if (sqlite3_open_v2(path.c_str(), &connection.handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                      nullptr) != SQLITE_OK) {
    fail_sqlite(connection.handle, path, "open the file");
  }
  // SQLite opens what it may not write for reading alone and says so when something is written.
  if (sqlite3_db_readonly(connection.handle, "main") == 1)
    throw UnwritableError(fmt::format("profile '{}': the file is read-only", path));
  sqlite3_busy_timeout(connection.handle, kBusyTimeoutMs);
  std::optional<Unusable> unusable;
  try {
    const bool is_new = check_file(connection.handle, path, unusable);
    if (unusable) return unusable;
    use_write_ahead_log(connection.handle, path);
    if (is_new) set_up(connection.handle, path);
  } catch (const SqliteError& e) {
    if (!e.is_damage()) throw;
    if (sqlite3_errcode(connection.handle) == SQLITE_NOTADB) fail_foreign(path, "no profile");
    return Unusable{"corrupt", sqlite3_errmsg(connection.handle)};
  }
  return std::nullopt;
}

void make_folder_of(const std::string& path) {
  const fs::path folder = fs::path(path).parent_path();
  std::error_code error;
  if (!folder.empty()) fs::create_directories(folder, error);
  if (error)
    throw UnwritableError(fmt::format("profile '{}': cannot create folder '{}': {}", path,
                                      folder.string(), error.message()));
}

/// A folder that goes with its owner.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::error_code error;
    const fs::path parent = fs::temp_directory_path(error);
    if (error)
      fail(ErrorKind::kIo, "there is no folder for temporary files (see TMPDIR): {}; {}",
           error.message(), kAdvice);
    path_ = (parent / "gacer-profile-XXXXXX").string();
    if (::mkdtemp(path_.data()) == nullptr)
      fail(ErrorKind::kIo, "cannot make a temporary folder '{}' for the profile: {}; {}", path_,
           std::strerror(errno), kAdvice);
  }
  ~TemporaryFolder() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

struct ProfileDb::State {
  std::string path;
  std::optional<TemporaryFolder> folder;  // goes after the connection
  std::unique_ptr<Connection> connection;
  std::vector<std::string> warnings;
  std::vector<std::pair<std::string, ProfileRow>> pending;

  /// UnwritableError when the place is at fault.
  void open();
  /// Goes on with a temporary file that begins with the rows that can be read.
  void open_copy();
  void write_pending();
};

void ProfileDb::State::open() {
  if (path.empty()) throw UnwritableError(kNoProfilePlace);
  make_folder_of(path);
  // A second try follows when the first file was moved away.
  for (int attempt = 0;; ++attempt) {
    connection = std::make_unique<Connection>();
    const std::optional<Unusable> unusable = open_file(*connection, path);
    if (!unusable) return;
    connection.reset();
    if (attempt > 0) {
      fail(ErrorKind::kIo, "profile '{}': a new file cannot be used: {}", path, unusable->reason);
    }
    const std::string target = move_aside(path, unusable->suffix);
    warnings.push_back(
        fmt::format("profile '{}' cannot be used ({}): moved to '{}', rows are measured anew", path,
                    unusable->reason, target));
  }
}

void ProfileDb::State::open_copy() {
  folder.emplace();
  const std::string copy = folder->path() + "/profile.sqlite";
  std::error_code error;
  // The log after the file: what is written in between is in the log, too.
  if (fs::copy_file(path, copy, error)) fs::copy_file(path + "-wal", copy + "-wal", error);
  fs::permissions(copy, fs::perms::owner_write, fs::perm_options::add, error);
  fs::permissions(copy + "-wal", fs::perms::owner_write, fs::perm_options::add, error);
  path = copy;
  open();
}

ProfileDb::ProfileDb(std::string path, Unwritable unwritable) : state_(std::make_unique<State>()) {
  state_->path = std::move(path);
  try {
    state_->open();
  } catch (const UnwritableError& error) {
    if (unwritable == Unwritable::kFail) fail(ErrorKind::kIo, "{}; {}", error.message(), kAdvice);
    state_->connection.reset();
    state_->warnings.push_back(
        fmt::format("{}: what this run measures is lost at its end; {}", error.message(), kAdvice));
    state_->open_copy();
  }
}

ProfileDb::~ProfileDb() {
  if (!state_ || state_->pending.empty()) return;
  try {
    state_->write_pending();
  } catch (const Error&) {
    // Rows are a cache: a caller that must know calls flush() before.
  }
}
ProfileDb::ProfileDb(ProfileDb&&) noexcept = default;
ProfileDb& ProfileDb::operator=(ProfileDb&&) noexcept = default;

const std::string& ProfileDb::path() const { return state_->path; }
bool ProfileDb::is_temporary() const { return state_->folder.has_value(); }
const std::vector<std::string>& ProfileDb::warnings() const { return state_->warnings; }

std::vector<std::string> ProfileDb::devices() const {
  Statement query(state_->connection->handle, state_->path, "SELECT DISTINCT device FROM rows");
  std::vector<std::string> names;
  while (query.step("read rows")) names.push_back(query.text(0));
  return names;
}

ProfileTable ProfileDb::load(const std::string& device_id) const {
  Statement query(state_->connection->handle, state_->path,
                  "SELECT signature, items, variant, width, solo_ms, saturated_ms, flop, bytes, "
                  "workspace_bytes, launches, footprint, rejected FROM rows WHERE device = ?");
  query.bind(device_id);
  ProfileTable table;
  while (query.step("read rows")) {
    ProfileRow row;
    row.signature = query.text(0);
    row.items = query.integer(1);
    row.variant = query.text(2);
    row.width = static_cast<int>(query.integer(3));
    row.solo_ms = query.number(4);
    row.saturated_ms = query.number(5);
    row.flop = query.number(6);
    row.bytes = query.number(7);
    row.workspace_bytes = query.integer(8);
    row.launches = static_cast<int>(query.integer(9));
    row.footprint = query.text(10);
    row.rejected = query.text(11);
    table.add(std::move(row));
  }
  for (const auto& [device, row] : state_->pending) {
    if (device == device_id) table.add(row);
  }
  return table;
}

void ProfileDb::State::write_pending() {
  sqlite3* handle = connection->handle;
  execute(handle, path, "BEGIN IMMEDIATE", "begin a transaction");
  try {
    for (const auto& [device, row] : pending) {
      Statement insert(
          handle, path,
          "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
      insert.bind(device);
      insert.bind(row.signature);
      insert.bind(row.items);
      insert.bind(row.variant);
      insert.bind(std::int64_t{row.width});
      insert.bind(row.solo_ms);
      insert.bind(row.saturated_ms);
      insert.bind(row.flop);
      insert.bind(row.bytes);
      insert.bind(row.workspace_bytes);
      insert.bind(std::int64_t{row.launches});
      insert.bind(row.footprint);
      insert.bind(row.rejected);
      insert.step("write a row");
    }
    execute(handle, path, "COMMIT", "commit rows");
  } catch (const Error&) {
    sqlite3_exec(handle, "ROLLBACK", nullptr, nullptr, nullptr);
    throw;
  }
  pending.clear();
}

void ProfileDb::store(const std::string& device_id, const ProfileRow& row) {
  state_->pending.emplace_back(device_id, row);
}

void ProfileDb::flush() {
  if (!state_->pending.empty()) state_->write_pending();
}

std::int64_t ProfileDb::erase(const std::string& device_id) {
  flush();
  Statement statement(state_->connection->handle, state_->path,
                      "DELETE FROM rows WHERE device = ?");
  statement.bind(device_id);
  statement.step("erase rows");
  return sqlite3_changes(state_->connection->handle);
}

std::int64_t ProfileDb::erase(const std::string& device_id, const std::string& signature,
                              std::int64_t items) {
  flush();
  Statement statement(state_->connection->handle, state_->path,
                      "DELETE FROM rows WHERE device = ? AND signature = ? AND items = ?");
  statement.bind(device_id);
  statement.bind(signature);
  statement.bind(items);
  statement.step("erase rows");
  return sqlite3_changes(state_->connection->handle);
}

}  // namespace gacer
