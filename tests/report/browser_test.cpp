#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "report/html.h"
#include "tests/report/fixture.h"

namespace gacer::report_test {
namespace {

/// What a command prints.
std::string output_of(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), &::pclose);
  std::string text;
  std::array<char, 4096> block;
  while (const std::size_t count = std::fread(block.data(), 1, block.size(), pipe.get()))
    text.append(block.data(), count);
  return text;
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++count;
  return count;
}

/// The page as a browser sees it after its script ran.
class Browser : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::system("command -v chromium >/dev/null 2>&1") != 0)
      GTEST_SKIP() << "no chromium on this machine";
    folder_ =
        std::filesystem::temp_directory_path() / ("gacer_browser_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override {
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  std::string render(const Comparison& comparison) {
    write_file_atomically(folder_ / "report.html", report_html(comparison, "gacer compare a b"));
    return output_of("HOME=" + folder_.string() +
                     " timeout 60 chromium --headless --no-sandbox --disable-gpu "
                     "--disable-dev-shm-usage --host-resolver-rules='MAP * ~NOTFOUND' "
                     "--user-data-dir=" +
                     (folder_ / "profile").string() + " --virtual-time-budget=4000 --dump-dom " +
                     "file://" + (folder_ / "report.html").string() + " 2>" +
                     (folder_ / "log").string());
  }

  std::filesystem::path folder_;
};

TEST_F(Browser, DrawsABarForEveryStep) {
  const Comparison comparison = make_comparison();
  const std::string page = render(comparison);
  std::size_t steps = 0;
  for (const PolicyResult& result : comparison.policies) steps += result.timeline.size();
  EXPECT_EQ(count_of(page, "<rect class=\"bar\""), steps) << page.substr(0, 2000);
  for (const TenantInfo& tenant : comparison.tenants)
    EXPECT_GE(count_of(page, "data-tenant=\"" + tenant.name + "\""), 3U) << tenant.name;
  EXPECT_THAT(page, ::testing::HasSubstr("1.44x the speed of running one after the other"));
  EXPECT_EQ(count_of(page, "[object "), 0U) << "an element became text";
}

TEST_F(Browser, ShowsHostileNamesAsText) {
  Comparison comparison = make_comparison();
  comparison.tenants[0].name = kHostileName;
  comparison.policies[0].timeline[0].node = kHostileName;
  const std::string page = render(comparison);
  EXPECT_THAT(page, ::testing::HasSubstr("&lt;/script&gt;&lt;b&gt;\"x\""));
  EXPECT_GT(count_of(page, "<rect class=\"bar\""), 0U);
}

}  // namespace
}  // namespace gacer::report_test
