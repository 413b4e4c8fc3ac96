#include "tools/gacer/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tools/gacer/session.h"

namespace gacer::cli {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

TEST(Duration, ReadsItsUnits) {
  EXPECT_EQ(parse_duration("2"), milliseconds(2000));
  EXPECT_EQ(parse_duration("1.5s"), milliseconds(1500));
  EXPECT_EQ(parse_duration("250ms"), milliseconds(250));
  EXPECT_EQ(parse_duration("3m"), milliseconds(180000));
  EXPECT_EQ(parse_duration("2h"), milliseconds(7200000));
  EXPECT_EQ(parse_duration("0"), milliseconds(0));
}

TEST(Duration, RefusesEverythingElse) {
  for (const char* text : {"", "s", "2x", "-1s", "nan", "inf", "1e300", "2 s", "2ss"})
    EXPECT_THROW(parse_duration(text), Error) << text;
}

TEST(Policies, AreCheckedByName) {
  EXPECT_EQ(parse_policies({"gacer", "streams", "gacer"}),
            (std::vector<std::string>{"gacer", "streams"}));
  EXPECT_THAT(parse_policies({"all"}), ::testing::IsSupersetOf({"sequential", "auto", "gacer"}));
  try {
    parse_policies({"fastest"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.message(), HasSubstr("'fastest'"));
    EXPECT_THAT(error.message(), HasSubstr("streams"));
  }
}

TEST(Options, TellTheEngineOfImplementationAndThreads) {
  Options options;
  EXPECT_EQ(options.engine().device_options, "");
  options.threads = 2;
  EXPECT_EQ(options.engine().device_options, "threads=2");
  options.implementation = "plain";
  EXPECT_EQ(options.engine().device_options, "impl=plain,threads=2");
}

TEST(Session, RebuildsAPlansTenant) {
  PlanTenant tenant;
  tenant.name = "first";
  tenant.model = "zoo:resnet18";
  tenant.batch = 8;
  tenant.repeat = 2;
  const TenantSpec spec = spec_of(tenant);
  EXPECT_EQ(spec.model, "zoo:resnet18");
  EXPECT_EQ(spec.name, "first");
  EXPECT_EQ(spec.batch, 8);
  EXPECT_EQ(spec.repeat, 2);
}

}  // namespace
}  // namespace gacer::cli
