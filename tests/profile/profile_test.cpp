#include "profile/profile.h"

#include <gtest/gtest.h>

namespace gacer {
namespace {

ProfileRow row(const char* variant, int width, double solo_ms, const char* rejected = "") {
  ProfileRow made;
  made.signature = "s";
  made.items = 4;
  made.variant = variant;
  made.width = width;
  made.solo_ms = solo_ms;
  made.rejected = rejected;
  return made;
}

TEST(ProfileTable, GivesUsableRowsFastestFirst) {
  ProfileTable table;
  table.add(row("slow", 1, 3));
  table.add(row("fast", 2, 1));
  table.add(row("bad", 2, 0.1, "wrong results"));
  table.add(row("middle", 1, 2));
  const auto rows = table.rows("s", 4);
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0].variant, "fast");
  EXPECT_EQ(rows[1].variant, "middle");
  EXPECT_EQ(rows[2].variant, "slow");
  EXPECT_EQ(table.fastest("s", 4, 1)->variant, "middle");
  EXPECT_EQ(table.find("s", 4, "bad", 2), nullptr);
  EXPECT_EQ(table.find("s", 4, "fast", 1), nullptr);
  EXPECT_EQ(table.fastest("s", 4, 3), nullptr);
  EXPECT_FALSE(table.has("s", 5));
  EXPECT_EQ(table.size(), 4U);
  EXPECT_EQ(table.all().size(), 4U);
}

TEST(ProfileTable, ReplacesARowOfTheSameKey) {
  ProfileTable table;
  table.add(row("v", 1, 3));
  table.add(row("v", 1, 5));
  ASSERT_EQ(table.rows("s", 4).size(), 1U);
  EXPECT_EQ(table.rows("s", 4)[0].solo_ms, 5);
  table.add(row("v", 1, 5, "hangs"));
  EXPECT_TRUE(table.rows("s", 4).empty());
  EXPECT_EQ(table.size(), 1U);
}

TEST(ProfileTable, AVariantIsRejectedOnAllWidths) {
  ProfileTable table;
  table.add(row("v", 1, 3));
  table.add(row("v", 2, 2));
  table.add(row("w", 1, 5));
  table.add(row("v", 3, 0.1, "hangs"));
  EXPECT_TRUE(table.has("s", 4, "v"));
  const std::vector<ProfileRow> changed = table.reject("s", 4, "v", "wrong beside others");
  ASSERT_EQ(changed.size(), 2U);
  for (const ProfileRow& one : changed) EXPECT_EQ(one.rejected, "wrong beside others");
  EXPECT_FALSE(table.has("s", 4, "v"));
  EXPECT_TRUE(table.has("s", 4, "w"));
  EXPECT_EQ(table.rejected("s", 4).size(), 3U);
  EXPECT_TRUE(table.reject("s", 4, "v", "again").empty());
  EXPECT_TRUE(table.reject("s", 5, "w", "of another chunk").empty());
}

TEST(ProfileRow, AreaIsTheSaturatedTimeOrTheShareOfTheDevice) {
  ProfileRow made = row("v", 1, 3);
  EXPECT_DOUBLE_EQ(area_ms(made, 2), 1.5);
  made.saturated_ms = 1.7;
  EXPECT_DOUBLE_EQ(area_ms(made, 2), 1.7);
}

}  // namespace
}  // namespace gacer
