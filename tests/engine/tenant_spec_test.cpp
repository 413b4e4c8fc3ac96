#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <gacer/error.h>
#include <gacer/tenant.h>

namespace gacer {
namespace {

using ::testing::HasSubstr;

TEST(TenantSpec, ReadsAPlainPath) {
  const TenantSpec spec = TenantSpec::parse("nets/a.onnx");
  EXPECT_EQ(spec.model, "nets/a.onnx");
  EXPECT_EQ(spec.batch, 1);
  EXPECT_EQ(spec.mode, TenantMode::kInfer);
}

TEST(TenantSpec, ReadsAllParts) {
  const TenantSpec spec = TenantSpec::parse(
      "rec.onnx@8?W=320&H=48,priority=high,name=ocr,weight=2.5,repeat=3,memory=1.5G,latency=5ms");
  EXPECT_EQ(spec.model, "rec.onnx");
  EXPECT_EQ(spec.batch, 8);
  EXPECT_EQ(spec.dims, (std::map<std::string, std::int64_t>{{"H", 48}, {"W", 320}}));
  EXPECT_EQ(spec.priority, 1);
  EXPECT_EQ(spec.name, "ocr");
  EXPECT_DOUBLE_EQ(spec.weight, 2.5);
  EXPECT_EQ(spec.repeat, 3);
  EXPECT_EQ(spec.memory_limit_bytes, 3LL << 29);
  EXPECT_DOUBLE_EQ(spec.latency_target_ms, 5);
}

TEST(TenantSpec, ReadsZooModelWithMode) {
  const TenantSpec train = TenantSpec::parse("zoo:resnet50:train@32,priority=low");
  EXPECT_EQ(train.model, "zoo:resnet50");
  EXPECT_EQ(train.mode, TenantMode::kTrain);
  EXPECT_EQ(train.batch, 32);
  EXPECT_EQ(train.priority, -1);
  EXPECT_EQ(TenantSpec::parse("zoo:resnet50:infer").mode, TenantMode::kInfer);
  EXPECT_EQ(TenantSpec::parse("zoo:resnet50").model, "zoo:resnet50");
}

TEST(TenantSpec, UnitsOfTimeAndMemory) {
  EXPECT_DOUBLE_EQ(TenantSpec::parse("a,latency=250us").latency_target_ms, 0.25);
  EXPECT_DOUBLE_EQ(TenantSpec::parse("a,latency=2s").latency_target_ms, 2000);
  EXPECT_DOUBLE_EQ(TenantSpec::parse("a,latency=7").latency_target_ms, 7);
  EXPECT_EQ(TenantSpec::parse("a,memory=512M").memory_limit_bytes, 512 << 20);
  EXPECT_EQ(TenantSpec::parse("a,memory=100").memory_limit_bytes, 100);
}

TEST(TenantSpec, AtAndColonInAPathStayInIt) {
  EXPECT_EQ(TenantSpec::parse("nets@v2/a.onnx").model, "nets@v2/a.onnx");
  EXPECT_EQ(TenantSpec::parse("nets@v2/a.onnx@4").batch, 4);
  EXPECT_EQ(TenantSpec::parse("dir:x/a.onnx").model, "dir:x/a.onnx");
  EXPECT_EQ(TenantSpec::parse("a.onnx:train").mode, TenantMode::kTrain);
}

struct BadSpec {
  const char* text;
  const char* part;  ///< of the message
  int column;        ///< of the caret
};
void PrintTo(const BadSpec& bad, std::ostream* out) { *out << '\'' << bad.text << '\''; }

class TenantSpecRefuses : public ::testing::TestWithParam<BadSpec> {};

TEST_P(TenantSpecRefuses, WithItsPlace) {
  const BadSpec& bad = GetParam();
  try {
    TenantSpec::parse(bad.text);
    FAIL() << "accepted " << bad.text;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.message(), HasSubstr(bad.part));
    const std::string caret = "\n  " + std::string(bad.text) + "\n  " +
                              std::string(static_cast<std::size_t>(bad.column), ' ') + "^";
    EXPECT_THAT(error.message(), HasSubstr(caret));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Texts, TenantSpecRefuses,
    ::testing::Values(
        BadSpec{"", "model is missing", 0}, BadSpec{"@4", "model is missing", 0},
        BadSpec{"zoo:", "name is missing", 4}, BadSpec{"a@0", "batch", 2},
        BadSpec{"a@-1", "batch", 2}, BadSpec{"a@x", "batch", 2}, BadSpec{"a@", "batch", 2},
        BadSpec{"a@99999999999999999999", "batch", 2}, BadSpec{"zoo:a:fit", "train or infer", 6},
        BadSpec{"a?W", "DIM=N", 2}, BadSpec{"a?", "DIM=N", 2}, BadSpec{"a?W=0", "dimension", 4},
        BadSpec{"a?W=1&W=2", "twice", 6}, BadSpec{"a,", "key=value", 2},
        BadSpec{"a,prio=1", "unknown key 'prio'", 2}, BadSpec{"a,priority=urgent", "priority", 11},
        BadSpec{"a,weight=0", "weight", 9}, BadSpec{"a,weight=nan", "weight", 9},
        BadSpec{"a,repeat=1.5", "repeat", 9}, BadSpec{"a,memory=5X", "unknown unit 'X'", 10},
        BadSpec{"a,latency=5min", "unknown unit 'min'", 11}, BadSpec{"a,name=", "key=value", 2},
        BadSpec{"a,repeat=2,", "key=value", 11}));

}  // namespace
}  // namespace gacer
