#include "tools/gacer/progress.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gacer::cli {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(ProgressBar, GrowsWithTheWork) {
  std::ptrdiff_t last = -1;
  for (int done = 0; done <= 100; done += 25) {
    const std::string text =
        ProgressView::bar_text({"profile", done, 100, ""}, seconds(1), 120, false);
    const auto cells = std::count(text.begin(), text.end(), '#');
    EXPECT_GT(cells, last);
    last = cells;
  }
}

TEST(ProgressBar, SaysCountTimeLeftAndDetail) {
  const std::string text =
      ProgressView::bar_text({"profile", 25, 100, "conv"}, seconds(10), 120, false);
  EXPECT_THAT(text, HasSubstr("profile"));
  EXPECT_THAT(text, HasSubstr("25/100"));
  EXPECT_THAT(text, HasSubstr("30 s left"));
  EXPECT_THAT(text, HasSubstr("conv"));
}

TEST(ProgressBar, NeverWrapsALine) {
  const std::string detail(300, 'x');
  for (std::size_t columns : {20U, 60U, 80U}) {
    const std::string text =
        ProgressView::bar_text({"search gacer", 3, 9, detail}, seconds(2), columns, false);
    EXPECT_LE(text.size(), std::max<std::size_t>(columns, 44)) << columns;
  }
}

TEST(ProgressBar, SurvivesNonsense) {
  for (const Progress& progress :
       {Progress{"a", 5, 0, ""}, Progress{"b", 9, 3, ""}, Progress{"", -4, -1, ""}})
    EXPECT_NO_THROW(ProgressView::bar_text(progress, seconds(1), 80, true));
}

TEST(ProgressLines, HoldNoEscapeCodes) {
  const std::string text = ProgressView::line_text({"profile", 10, 20, "x"}, seconds(4));
  EXPECT_EQ(text, "profile 10/20, 4 s left");
}

TEST(ProgressMode, IsSilentWhenQuietAndLinesOffATerminal) {
  EXPECT_EQ(ProgressView::mode_of(-1, true), ProgressView::Mode::kSilent);
  EXPECT_EQ(ProgressView::mode_of(-1, false), ProgressView::Mode::kLines);
}

TEST(ProgressMode, HidesNoWarning) {
  ProgressView view(ProgressView::Mode::kSilent, false);
  ::testing::internal::CaptureStderr();
  view.update({"profile", 1, 2, ""});
  view.warn("the cache was corrupt");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "gacer: warning: the cache was corrupt\n");
}

}  // namespace
}  // namespace gacer::cli
