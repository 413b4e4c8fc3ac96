#include "profile/profile_db.h"

#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "base/error.h"
#include "base/file.h"
#include "tests/support/expect_error.h"
#include "tests/support/synthetic.h"

namespace gacer {
namespace {

namespace fs = std::filesystem;

class ProfileDbTest : public ::testing::Test {
 protected:
  ProfileDbTest() {
    const std::string name =
        ::testing::UnitTest::GetInstance()->current_test_info()->name() + std::to_string(getpid());
    folder_ = fs::temp_directory_path() / ("gacer_profile_db_" + name);
    fs::remove_all(folder_);
    path_ = (folder_ / "deep" / "profile.db").string();
  }
  ~ProfileDbTest() override { fs::remove_all(folder_); }

  static ProfileRow row(int i, const char* rejected = "") {
    ProfileRow made;
    made.signature = "signature " + std::to_string(i % 7);
    made.items = 1 + i;
    made.variant = "v'; DROP TABLE rows; --";
    made.width = 2;
    made.solo_ms = 1.0 / (3 + i);
    made.saturated_ms = 0.1 * i;
    made.flop = 1e12 + i;
    made.bytes = 1e9 + i;
    made.workspace_bytes = std::int64_t{5} << 32;
    made.launches = 3;
    made.footprint = "grid 104x1x1";
    made.rejected = rejected;
    return made;
  }
  static void execute(const std::string& path, const char* sql) {
    sqlite3* handle = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &handle), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(handle, sql, nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(handle);
    sqlite3_close(handle);
  }

  fs::path folder_;
  std::string path_;
};

TEST_F(ProfileDbTest, KeepsRowsPerDevice) {
  ProfileTable expected;
  {
    ProfileDb db(path_);
    EXPECT_TRUE(db.warnings().empty());
    for (int i = 0; i < 40; ++i) {
      db.store("cpu", row(i, i % 5 == 0 ? "slow" : ""));
      expected.add(row(i, i % 5 == 0 ? "slow" : ""));
    }
    db.store("gpu", row(99));
    EXPECT_EQ(db.load("cpu").all(), expected.all()) << "rows not yet committed are seen too";
  }
  const ProfileDb db(path_);
  EXPECT_TRUE(db.warnings().empty());
  EXPECT_EQ(db.load("cpu").all(), expected.all());
  EXPECT_EQ(db.load("gpu").size(), 1U);
  EXPECT_EQ(db.load("tpu").size(), 0U);
}

TEST_F(ProfileDbTest, WhatIsNotFlushedIsNobodyElses) {
  ProfileDb db(path_);
  for (int i = 0; i < 100; ++i) db.store("cpu", row(i));
  EXPECT_EQ(ProfileDb(path_).load("cpu").size(), 0U) << "a part of a task's rows would stay one";
  db.flush();
  EXPECT_EQ(ProfileDb(path_).load("cpu").size(), 100U);
}

TEST_F(ProfileDbTest, ReplacesRowsOfTheSameKeyAndErases) {
  ProfileDb db(path_);
  ProfileRow changed = row(1);
  db.store("cpu", changed);
  changed.solo_ms = 7;
  db.store("cpu", changed);
  db.flush();
  ASSERT_EQ(db.load("cpu").size(), 1U);
  EXPECT_EQ(db.load("cpu").all()[0].solo_ms, 7);
  EXPECT_EQ(db.erase("cpu"), 1);
  EXPECT_EQ(db.load("cpu").size(), 0U);
}

TEST_F(ProfileDbTest, LeavesFilesOfOthersAlone) {
  fs::create_directories(folder_);
  const std::string notes = (folder_ / "notes.txt").string();
  for (const std::string& text : {std::string("short"), std::string(4096, 'x')}) {
    write_file_atomically(notes, text);
    testing::expect_error(ErrorKind::kIo, notes, [&] { ProfileDb db(notes); });
    EXPECT_EQ(read_file(notes), text);
  }
  const std::string other = (folder_ / "browser.db").string();
  execute(other, "CREATE TABLE history (url TEXT)");
  testing::expect_error(ErrorKind::kIo, "another program", [&] { ProfileDb db(other); });
  EXPECT_FALSE(fs::exists(other + ".foreign-1"));
}

TEST_F(ProfileDbTest, MovesADamagedDatabaseAsideAndSaysSo) {
  {
    ProfileDb db(path_);
    for (int i = 0; i < 2000; ++i) db.store("cpu", row(i));
  }
  const auto size = static_cast<std::streamoff>(fs::file_size(path_));
  {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096 + 8);
    const std::string junk(static_cast<std::size_t>(size) / 2, '\xA5');
    file.write(junk.data(), static_cast<std::streamsize>(junk.size()));
  }
  const ProfileDb db(path_);
  ASSERT_EQ(db.warnings().size(), 1U);
  EXPECT_TRUE(fs::exists(path_ + ".corrupt-1"));
  EXPECT_EQ(db.load("cpu").size(), 0U);
}

TEST_F(ProfileDbTest, MovesAnotherSchemaAside) {
  { ProfileDb db(path_); }
  execute(path_, "PRAGMA user_version=99");
  const ProfileDb db(path_);
  ASSERT_EQ(db.warnings().size(), 1U);
  EXPECT_NE(db.warnings()[0].find("schema is 99"), std::string::npos) << db.warnings()[0];
  EXPECT_TRUE(fs::exists(path_ + ".schema-99-1"));
}

TEST_F(ProfileDbTest, NamesThePathWhenItCannotWrite) {
  const auto expect_io = [](const std::string& path) {
    try {
      ProfileDb db(path);
      db.store("cpu", row(1));
      db.flush();
      ADD_FAILURE() << path << " was written";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kIo);
      EXPECT_NE(e.message().find(path), std::string::npos) << e.message();
    }
  };
  expect_io("/proc/nowhere/profile.db");
  fs::create_directories(folder_);
  expect_io(folder_.string());  // a folder, not a file
}

/// Rights of a user who owns nothing: root may write everywhere.
class AsNobody {
 public:
  AsNobody() { EXPECT_EQ(seteuid(own_ == 0 ? 65534 : own_), 0); }
  ~AsNobody() { EXPECT_EQ(seteuid(own_), 0); }
  AsNobody(const AsNobody&) = delete;
  AsNobody& operator=(const AsNobody&) = delete;

 private:
  uid_t own_ = geteuid();
};

TEST_F(ProfileDbTest, AFolderThatCannotBeMadeIsReplacedByATemporaryOne) {
  write_file_atomically(folder_.string(), "no folder");
  testing::expect_error(ErrorKind::kIo, "name a file that can be written with --db",
                        [&] { ProfileDb db(path_); });
  std::string used;
  {
    ProfileDb db(path_, ProfileDb::Unwritable::kCopy);
    ASSERT_EQ(db.warnings().size(), 1U);
    EXPECT_NE(db.warnings()[0].find(path_), std::string::npos) << db.warnings()[0];
    EXPECT_NE(db.warnings()[0].find("--db"), std::string::npos) << db.warnings()[0];
    EXPECT_TRUE(db.is_temporary());
    db.store("cpu", row(1));
    db.flush();
    used = db.path();
    EXPECT_EQ(ProfileDb(used).load("cpu").size(), 1U) << "a process that measures finds it";
  }
  EXPECT_FALSE(fs::exists(fs::path(used).parent_path()));
}

TEST_F(ProfileDbTest, AFileThatCannotBeWrittenIsReadAndCopied) {
  {
    ProfileDb db(path_);
    for (int i = 0; i < 40; ++i) db.store("cpu", row(i));
  }
  const fs::path folder = fs::path(path_).parent_path();
  constexpr auto kReadable = fs::perms::owner_read | fs::perms::group_read | fs::perms::others_read;
  constexpr auto kSearchable =
      kReadable | fs::perms::owner_exec | fs::perms::group_exec | fs::perms::others_exec;
  fs::permissions(path_, kReadable);
  for (const bool is_folder_writable : {false, true}) {
    fs::permissions(folder, is_folder_writable ? fs::perms::all : kSearchable);
    {
      const AsNobody nobody;
      testing::expect_error(ErrorKind::kIo, "--db", [&] { ProfileDb db(path_); });
      ProfileDb db(path_, ProfileDb::Unwritable::kCopy);
      ASSERT_EQ(db.warnings().size(), 1U);
      EXPECT_EQ(db.load("cpu").size(), 40U);
      db.store("cpu", row(99));
      db.flush();
      EXPECT_EQ(db.load("cpu").size(), 41U);
      EXPECT_EQ(db.erase("cpu"), 41);
    }
    fs::permissions(folder, fs::perms::owner_all);
    EXPECT_TRUE(fs::exists(path_));
  }
  fs::permissions(path_, fs::perms::owner_all);
  const ProfileDb db(path_);
  EXPECT_EQ(db.load("cpu").size(), 40U) << "the file is as it was";
}

TEST_F(ProfileDbTest, ServesSeveralProcessesAtOnce) {
  constexpr int kProcesses = 6;
  constexpr int kRows = 60;
  for (int p = 0; p < kProcesses; ++p) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      int status = 0;
      try {
        ProfileDb db(path_);
        if (!db.warnings().empty()) status = 2;
        for (int i = 0; i < kRows; ++i) db.store("cpu", row(1000 * p + i));
        db.flush();
      } catch (const Error&) {
        status = 1;
      }
      _exit(status);
    }
  }
  for (int p = 0; p < kProcesses; ++p) {
    int status = -1;
    ASSERT_GT(wait(&status), 0);
    EXPECT_EQ(WEXITSTATUS(status), 0);
  }
  const ProfileDb db(path_);
  EXPECT_EQ(db.load("cpu").size(), static_cast<std::size_t>(kProcesses * kRows));
}

}  // namespace
}  // namespace gacer
