#include "profile/recording.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/synthetic.h"

namespace gacer {
namespace {

Recording make_recording() {
  const auto made = test::make_random_synthetic(4);
  Recording recording;
  recording.device = made.problem.device;
  recording.device.libraries = {{"onednn", "3.2.1"}};
  recording.is_width_fixed = made.problem.is_width_fixed;
  recording.concats_in_place = true;
  for (int width = 1; width <= recording.device.num_groups; ++width) {
    recording.widths.push_back(width);
  }
  recording.rows = made.rows;
  recording.forms = {"Conv@blocked8+add+relu", "Gemm@row_major"};
  ProfileRow rejected = made.rows.all().front();
  rejected.variant = "bad";
  rejected.rejected = "wrong results";
  recording.rows.add(rejected);
  return recording;
}

void expect_rejected(std::string text, const std::string& from, const std::string& to,
                     const std::string& part) {
  const std::size_t place = text.find(from);
  ASSERT_NE(place, std::string::npos) << from;
  text.replace(place, from.size(), to);
  testing::expect_error(ErrorKind::kIo, part, [&] { parse_recording(text); });
}

TEST(Recording, RoundTrips) {
  const Recording recording = make_recording();
  const Recording again = parse_recording(to_json(recording));
  EXPECT_EQ(again.device.profile_id(), recording.device.profile_id());
  EXPECT_EQ(again.is_width_fixed, recording.is_width_fixed);
  EXPECT_TRUE(again.concats_in_place);
  EXPECT_EQ(again.widths, recording.widths);
  EXPECT_EQ(again.forms, recording.forms);
  EXPECT_EQ(again.rows.all(), recording.rows.all());
  EXPECT_EQ(to_json(again), to_json(recording));
}

TEST(Recording, FilesRoundTrip) {
  const std::string path =
      (std::filesystem::temp_directory_path() / "gacer_recording_test.json").string();
  save_recording(make_recording(), path);
  EXPECT_EQ(to_json(load_recording(path)), to_json(make_recording()));
  std::filesystem::remove(path);
  EXPECT_THROW(load_recording(path), Error);
}

TEST(Recording, NamesThePathOfWhatIsWrong) {
  const std::string json = to_json(make_recording());
  EXPECT_THROW(parse_recording("nonsense"), Error);
  expect_rejected(json, "\"gacer_recording\": 1", "\"gacer_recording\": 2", "version 2");
  expect_rejected(json, "\"num_groups\"", "\"groups\"", "unknown field 'groups'");
  expect_rejected(json, "\"solo_ms\":", "\"solo_ms\":-", "$.rows[0].solo_ms");
  expect_rejected(json, "\"width\":1", "\"width\":77", "the device has");
  expect_rejected(json, "\"launches\":1,", "", "'launches' is missing");
}

}  // namespace
}  // namespace gacer
