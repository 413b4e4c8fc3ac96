#include <filesystem>
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include <gacer/plan.h>

#include "base/error.h"
#include "base/file.h"
#include "tests/support/expect_error.h"
#include "tests/support/synthetic.h"

namespace gacer {
namespace {

Plan small_plan() {
  const auto made = test::make_synthetic(
      test::synthetic_device("cpu", 2),
      {{.nodes = 3, .seed = 5, .batch = 4, .repeat = 2}, {.nodes = 2, .seed = 6, .batch = 2}});
  return test::make_random_plan(made, 3);
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t place = text.find(from);
  EXPECT_NE(place, std::string::npos) << from;
  return text.replace(place, from.size(), to);
}

void expect_rejected(const std::string& json, const std::string& part_of_message) {
  testing::expect_error(ErrorKind::kPlan, part_of_message, [&] { parse_plan(json); });
}

TEST(PlanJson, RoundTripsRandomPlans) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const auto made = test::make_random_synthetic(seed);
    Plan plan = test::make_random_plan(made, seed);
    plan.notes["predicted"] = "1.25 ms \"quoted\" \\ \n línea";
    plan.mode = seed % 2 ? LaunchMode::kMerged : LaunchMode::kFreeRunning;
    plan.seed = ~std::uint64_t{0} - seed;
    plan.tenants[0].priority = static_cast<int>(seed % 3) - 1;
    if (seed % 2 == 0) plan.tenants[0].dims = {{"H", 48}, {"wide \"W\"", 320}};
    const std::string json = to_json(plan);
    EXPECT_EQ(parse_plan(json), plan) << "seed " << seed;
    EXPECT_EQ(to_json(parse_plan(json)), json) << "seed " << seed;
  }
}

TEST(PlanJson, RoundTripsAnEmptyPlan) { EXPECT_EQ(parse_plan(to_json(Plan{})), Plan{}); }

TEST(PlanJson, NamesThePathOfWhatIsWrong) {
  const std::string json = to_json(small_plan());
  expect_rejected("", "$");
  expect_rejected("[1, 2]", "$: expected an object");
  expect_rejected(json.substr(0, json.size() / 2), "not JSON");
  expect_rejected(replaced(json, "\"gacer_plan\": 1", "\"gacer_plan\": 9"),
                  "$.gacer_plan: version 9");
  expect_rejected(replaced(json, "\"seed\": 3", "\"seed\": -3"), "$.seed");
  expect_rejected(replaced(json, "\"seed\": 3", "\"seed\": \"3\""), "$.seed: expected an integer");
  expect_rejected(replaced(json, "\"mode\": \"merged\"", "\"mode\": \"mixed\""), "$.mode: 'mixed'");
  expect_rejected(replaced(json, "\"num_groups\": 2", "\"num_groups\": 0"), "$.num_groups: 0");
  expect_rejected(replaced(json, "\"num_groups\": 2", "\"num_groups\": 2, \"groups\": 2"),
                  "unknown field 'groups'");
  expect_rejected(replaced(json, "\"policy\": \"random\",", ""), "field 'policy' is missing");
  expect_rejected(replaced(json, "{\"tenant\": 0, \"steps\"", "{\"tenant\": 7, \"steps\""),
                  "$.lanes[0].tenant: 7 is out of range");
  expect_rejected(replaced(json, "{\"node\": 0, ", "{\"node\": 99, "), ".node: 99 is out of range");
  expect_rejected(replaced(json, "{\"node\": 0, \"name\": \"y0\"", "{\"node\": 0, \"name\": \"z\""),
                  "is 'y0', not 'z'");
  expect_rejected(replaced(json, "\"priority\": ", "\"priority\": 1e300, \"prio\": "),
                  "$.lanes[0]");
  expect_rejected(replaced(json, "\"chunk\": [0, ", "\"chunk\": [5000, "), ".chunk[1]");
  expect_rejected(replaced(json, "\"chunk\": [0, ", "\"chunk\": [9223372036854775807, "),
                  ".chunk[0]");
  expect_rejected(replaced(json, "\"policy\": \"random\"",
                           "\"policy\": " + std::string(300'000, '[') + std::string(300'000, ']')),
                  "$.policy: expected a string, found array");
  expect_rejected(replaced(json, "\"before\": [", "\"before\": [4000000000, "), "sync_points[0]");
}

TEST(PlanJson, EveryTruncationIsRefusedWithoutACrash) {
  const std::string json = to_json(small_plan());
  for (std::size_t size = 0; size + 2 < json.size(); size += 7) {
    EXPECT_THROW(parse_plan(json.substr(0, size)), Error) << size;
  }
}

TEST(PlanJson, FilesRoundTripAndMissingOnesAreNamed) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / "gacer_plan_json_test";
  std::filesystem::create_directories(folder);
  const std::string path = (folder / "a.plan.json").string();
  const Plan plan = small_plan();
  save_plan(plan, path);
  save_plan(plan, path);
  EXPECT_EQ(load_plan(path), plan);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
  std::filesystem::remove_all(folder);
  testing::expect_error(ErrorKind::kIo, path, [&] { load_plan(path); });
}

TEST(PlanJson, ErrorsInAFileNameTheFile) {
  const std::string path =
      (std::filesystem::temp_directory_path() / "gacer_plan_json_bad.json").string();
  write_file_atomically(path, "{\"gacer_plan\": 1}");
  testing::expect_error(ErrorKind::kPlan, path, [&] { load_plan(path); });
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace gacer
