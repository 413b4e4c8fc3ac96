#include <regex>
#include <string>

#include <gacer_build_info.h>
#include <gtest/gtest.h>

#include "tests/build/entry.h"

namespace gacer::build_test {

int entry_one() { return 1; }
int entry_two() { return 2; }
int entry_ten() { return 10; }
const int& pointer_a() {
  static const int value = 7;
  return value;
}

namespace {

TEST(RegistrationTable, KeepsNamesValuesAndOrder) {
  std::string names;
  int sum = 0;
  for (const Entry& entry : all_entries()) {
    names += std::string(entry.name) + " ";
    sum += entry.value();
  }
  EXPECT_EQ(names, "two ten one ");
  EXPECT_EQ(sum, 13);
}

TEST(RegistrationTable, HoldsPointers) {
  ASSERT_EQ(all_pointers().size(), 1U);
  EXPECT_EQ(all_pointers()[0], &pointer_a());
}

TEST(BuildInfo, NamesVersionAndCommit) {
  EXPECT_TRUE(std::regex_match(kBuildVersion, std::regex(R"(\d+\.\d+\.\d+)"))) << kBuildVersion;
  EXPECT_TRUE(std::regex_match(kBuildCommit, std::regex("[0-9a-f]{12}|unknown"))) << kBuildCommit;
}

}  // namespace
}  // namespace gacer::build_test
