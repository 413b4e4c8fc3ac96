#include "engine/measuring_process.h"

#include <unistd.h>

#include <array>
#include <filesystem>
#include <map>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core.h"
#include "engine/profiler.h"
#include "profile/profile_db.h"
#include "tests/engine/support.h"
#include "tests/support/expect_error.h"

namespace gacer {
namespace {

using How = MeasuringEnd::How;
using testing::expect_error;
using ::testing::HasSubstr;

/// A shell in the place of a process that measures; "--announce 3" becomes $0 and $1.
std::vector<std::string> shell(const std::string& script) { return {"/bin/sh", "-c", script}; }

constexpr const char* kBegin =
    R"(echo '{"kind":"begin","signature":"s","items":4,"variant":"v","width":2}' >&3; )";
constexpr const char* kEnd = R"(echo '{"kind":"end"}' >&3; )";

MeasuringEnd run(const std::string& script, const MeasuringOptions& options = {}) {
  return run_measuring_process(shell(script), options);
}

TEST(MeasuringProcess, EndsWellAndTellsItsProgress) {
  std::vector<Progress> seen;
  std::vector<std::string> warnings;
  MeasuringOptions options;
  options.on_warning = [&](const std::string& text) { warnings.push_back(text); };
  options.on_progress = [&](const Progress& progress) { seen.push_back(progress); };
  const MeasuringEnd end =
      run(std::string(kBegin) + kEnd +
              R"(echo '{"kind":"progress","phase":"profile","done":3,"total":9,"detail":"x"}' >&3;
             echo '{"kind":"warning","text":"look out"}' >&3)",
          options);
  EXPECT_EQ(end.how, How::kDone);
  EXPECT_FALSE(end.last);
  EXPECT_THAT(warnings, ::testing::ElementsAre("look out"));
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].phase, "profile");
  EXPECT_EQ(seen[0].done, 3);
  EXPECT_EQ(seen[0].total, 9);
}

TEST(MeasuringProcess, ACrashNamesTheVariantAndTheSignal) {
  const MeasuringEnd end = run(std::string(kBegin) + "echo a last word >&2; kill -SEGV $$");
  EXPECT_EQ(end.how, How::kCrashed);
  EXPECT_THAT(end.text, HasSubstr("signal 11"));
  EXPECT_THAT(end.text, HasSubstr("a last word"));
  ASSERT_TRUE(end.last);
  EXPECT_EQ(end.last->signature, "s");
  EXPECT_EQ(end.last->items, 4);
  EXPECT_EQ(end.last->variant, "v");
  EXPECT_EQ(end.last->width, 2);
}

TEST(MeasuringProcess, ACrashBetweenVariantsBlamesNone) {
  const MeasuringEnd end = run(std::string(kBegin) + kEnd + "kill -KILL $$");
  EXPECT_EQ(end.how, How::kCrashed);
  EXPECT_FALSE(end.last);
}

TEST(MeasuringProcess, AFailureKeepsItsExitCodeAndItsWords) {
  const MeasuringEnd end = run("echo no memory >&2; exit 5");
  EXPECT_EQ(end.how, How::kFailed);
  EXPECT_EQ(end.exit_code, 5);
  EXPECT_EQ(end.text, "no memory");
}

TEST(MeasuringProcess, AVariantThatHangsIsKilled) {
  MeasuringOptions options;
  options.patience = std::chrono::milliseconds(300);
  const auto begin = std::chrono::steady_clock::now();
  const MeasuringEnd end = run(std::string(kBegin) + "exec sleep 60", options);
  EXPECT_EQ(end.how, How::kHung);
  ASSERT_TRUE(end.last);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
}

TEST(MeasuringProcess, OneThatFallsSilentIsKilled) {
  MeasuringOptions options;
  options.silence = std::chrono::milliseconds(300);
  for (const std::string& before : {std::string(), std::string(kBegin) + kEnd}) {
    const MeasuringEnd end = run(before + "exec sleep 60", options);
    EXPECT_EQ(end.how, How::kHung);
    EXPECT_EQ(end.text, "no word for 0.3 s");
    EXPECT_FALSE(end.last);
  }
}

TEST(MeasuringProcess, SlownessBetweenVariantsIsNoHang) {
  MeasuringOptions options;
  options.patience = std::chrono::milliseconds(200);
  EXPECT_EQ(run(std::string(kBegin) + kEnd + "sleep 0.6", options).how, How::kDone);
}

TEST(MeasuringProcess, CancellingInterruptsIt) {
  std::atomic<bool> is_cancelled{false};
  MeasuringOptions options;
  options.is_cancelled = &is_cancelled;
  std::thread user([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    is_cancelled = true;
  });
  const MeasuringEnd end = run("trap 'exit 130' INT; while :; do sleep 0.05; done", options);
  user.join();
  EXPECT_EQ(end.how, How::kInterrupted);
}

TEST(MeasuringProcess, NonsenseOnTheLineIsAnError) {
  EXPECT_THROW(run("echo hello >&3; sleep 5"), Error);
}

TEST(MeasuringProcess, ACommandThatIsNotThereIsAnError) {
  EXPECT_THROW(run_measuring_process({"/nowhere/gacer"}, {}), Error);
}

TEST(MeasuringProcess, AnAnnouncerIsUnderstood) {
  // The words of an Announcer, said again by a shell.
  std::array<int, 2> ends = {};
  ASSERT_EQ(::pipe(ends.data()), 0);
  ProfileRow row;
  row.signature = "0123";
  row.items = 8;
  row.variant = "own/it's=\"1\"";
  row.width = 16;
  Announcer announcer(ends[1]);
  announcer.progress({"profile", 1, 2, "bad \xff name"});
  announcer.begin(row);
  ::close(ends[1]);
  std::string said(4096, '\0');
  said.resize(static_cast<std::size_t>(::read(ends[0], said.data(), said.size())));
  ::close(ends[0]);
  const MeasuringEnd end = run("cat >&3 <<'WORDS'\n" + said + "WORDS\nkill -ABRT $$");
  EXPECT_EQ(end.how, How::kCrashed);
  ASSERT_TRUE(end.last);
  EXPECT_EQ(end.last->signature, row.signature);
  EXPECT_EQ(end.last->items, row.items);
  EXPECT_EQ(end.last->variant, row.variant);
  EXPECT_EQ(end.last->width, row.width);
}

/// An engine whose rows come from a shell script in the place of a process that measures. Where it
/// is to find rows, an engine that measures itself makes them beforehand.
struct ProfileInChild : ::testing::Test {
  ProfileInChild() {
    options.use_profile = true;
    options.profile_path = folder / "rows.sqlite";
  }
  void add_net(EngineCore& core) const {
    core.add_graph(testing::named_spec("net", 2), testing::make_random_net(3, 2, 6));
  }
  /// All rows that the net needs, in another file.
  std::filesystem::path make_rows() {
    EngineOptions own = options;
    own.profile_path = folder / "made.sqlite";
    EngineCore core(own);
    add_net(core);
    core.profile();
    return own.profile_path;
  }
  ProfileTable rows_kept() const {
    EngineCore core(options);
    return ProfileDb(options.profile_path).load(core.profile_key());
  }
  const testing::TempDir dir;
  const std::filesystem::path& folder = dir.path;
  EngineOptions options = testing::plain_options();
};

TEST_F(ProfileInChild, RowsComeFromTheProcess) {
  const std::string made = make_rows();
  options.measuring_command = shell("exit 0");
  {
    EngineCore core(options);
    add_net(core);
    EXPECT_THROW(core.profile(), Error) << "nothing was measured, here or there";
  }
  std::filesystem::copy_file(made, options.profile_path,
                             std::filesystem::copy_options::overwrite_existing);
  options.measuring_command = shell("kill -SEGV $$");
  EngineCore core(options);
  add_net(core);
  core.profile();  // nothing is missing: no process is started
  EXPECT_GT(core.rows().size(), 0U);
}

TEST_F(ProfileInChild, RowsThatAreGoneAreAskedForOnceMore) {
  const std::filesystem::path runs = folder / "runs";
  options.measuring_command = shell("echo x >> '" + runs.string() + "'");
  EngineCore core(options);
  add_net(core);
  expect_error(ErrorKind::kUnsupported, "no row in the profile", [&] { core.profile(); });
  EXPECT_EQ(std::filesystem::file_size(runs), 4U) << "two lines";
}

TEST_F(ProfileInChild, AProcessThatCannotBeginIsReplacedByThisOne) {
  std::string warning;
  options.on_warning = [&](const std::string& text) { warning += text; };
  options.measuring_command = shell("echo no memory for two >&2; exit 5");
  EngineCore core(options);
  add_net(core);
  core.profile();
  EXPECT_GT(core.rows().size(), 0U);
  EXPECT_THAT(warning, HasSubstr("no memory for two"));
}

TEST_F(ProfileInChild, ItsFailureKeepsItsKind) {
  options.measuring_command = shell(std::string(kBegin) + "echo disk full >&2; exit 1");
  EngineCore core(options);
  add_net(core);
  expect_error(ErrorKind::kIo, "disk full", [&] { core.profile(); });
}

TEST_F(ProfileInChild, WhatIsMeasuredIsOnDiskBeforeTheNextTaskBegins) {
  // As another process finds it when this one ends there and then.
  std::map<std::int64_t, std::size_t> seen;
  std::string device;
  options.on_progress = [&](const Progress& progress) {
    if (progress.phase == "profile" && !device.empty())
      seen[progress.done] = ProfileDb(options.profile_path).load(device).size();
  };
  std::vector<std::size_t> rows_of_task;
  {
    EngineCore core(options);
    add_net(core);
    device = core.profile_key();
    const auto tasks = find_missing_rows(core.problem(), {});
    core.profile();
    for (const ProfileTask& task : tasks)
      rows_of_task.push_back(core.rows().rows(task.signature, task.items).size() +
                             core.rows().rejected(task.signature, task.items).size());
  }
  std::size_t expected = 0;
  for (std::size_t done = 0; done < rows_of_task.size(); ++done) {
    EXPECT_EQ(seen.at(static_cast<std::int64_t>(done)), expected) << "before task " << done;
    expected += rows_of_task[done];
  }
}

TEST_F(ProfileInChild, WhatCrashesIsSetAsideAndTheProcessStartedAgain) {
  const std::string count = folder / "count";
  // Two variants crash it, then it fails for a reason of its own.
  options.measuring_command = shell(
      "echo x >> '" + count + "'; n=$(wc -l < '" + count +
      "'); "
      R"(echo "{\"kind\":\"begin\",\"signature\":\"s\",\"items\":1,\"variant\":\"v$n\",\"width\":1}" >&3; )"
      "[ $n -lt 3 ] || { echo the bus fell off >&2; exit 6; }; kill -SEGV $$");
  {
    EngineCore core(options);
    add_net(core);
    expect_error(ErrorKind::kDevice, "the bus fell off", [&] { core.profile(); });
  }
  const ProfileTable kept = rows_kept();
  ASSERT_EQ(kept.rejected("s", 1).size(), 2U);
  for (const ProfileRow& row : kept.rejected("s", 1)) {
    EXPECT_TRUE(is_quarantined(row));
    EXPECT_THAT(row.rejected, HasSubstr("signal 11"));
  }
}

TEST_F(ProfileInChild, AProcessThatOnlyCrashesEndsInAnError) {
  options.measuring_command = shell("kill -SEGV $$");
  EngineCore core(options);
  add_net(core);
  expect_error(ErrorKind::kDevice, "signal 11", [&] { core.profile(); });
}

TEST_F(ProfileInChild, QuarantinedVariantsAreNotTriedAgain) {
  EngineCore core(options);
  add_net(core);
  const ProblemNode& node = core.problem().tenants[0].nodes[0];
  ProfileRow row;
  row.signature = node.signature;
  row.items = node.batch;
  row.width = 1;
  {
    Profiler profiler(core.device(), core.tenants(), core.compiler().constants(), {});
    const auto rows = profiler.measure({0, 0, node.signature, node.batch});
    ASSERT_FALSE(rows.empty());
    row.variant = rows.back().variant;
    row.width = rows.back().width;
  }
  ProfileTable known;
  row.rejected = quarantine_text("signal 11");
  known.add(row);
  Profiler profiler(core.device(), core.tenants(), core.compiler().constants(), {});
  profiler.known = &known;
  int begun = 0;
  int ended = 0;
  profiler.on_begin = [&](const ProfileRow& next) {
    ++begun;
    EXPECT_FALSE(next.variant == row.variant && next.width == row.width);
  };
  profiler.on_end = [&] { ++ended; };
  profiler.measure({0, 0, node.signature, node.batch});
  EXPECT_GT(begun, 0);
  EXPECT_EQ(begun, ended);
}

}  // namespace
}  // namespace gacer
