#include "tools/gacer/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/support/expect_error.h"
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

Plan plan_of(const std::string& device_id, const std::string& precision) {
  Plan plan;
  plan.device_id = device_id;
  plan.tenants.emplace_back().precision = precision;
  return plan;
}

TEST(Options, TakeFromAPlanWhatIsNotGiven) {
  const Plan plan = plan_of("cuda|NVIDIA H200|15x8", "fp16");
  Options open;
  complete_from_plan(open, plan);
  EXPECT_EQ(open.device, "cuda");
  EXPECT_EQ(open.precision, "fp16");
  Options given;
  given.device = "cuda:1";
  given.precision = "bf16";
  given.is_device_given = given.is_precision_given = true;
  complete_from_plan(given, plan);
  EXPECT_EQ(given.device, "cuda:1");
  EXPECT_EQ(given.precision, "bf16");
  Options of_odd_plan;
  complete_from_plan(of_odd_plan, plan_of("abacus", "f31"));
  EXPECT_EQ(of_odd_plan.device, "cpu") << "the plan is refused later, in its own words";
  EXPECT_EQ(of_odd_plan.precision, "f32");
}

TEST(Options, AskForTheRecordingOfASimulatedDevicesPlan) {
  const Plan plan = plan_of("sim|NVIDIA H200|15x8", "fp16");
  Options options;
  gacer::testing::expect_error(ErrorKind::kUsage, "--device sim:FILE",
                               [&] { complete_from_plan(options, plan); });
  options.device = "sim:h200.rec.json";
  options.is_device_given = true;
  complete_from_plan(options, plan);
  EXPECT_EQ(options.device, "sim:h200.rec.json");
  EXPECT_EQ(options.precision, "fp16");
}

TEST(Options, MeasureInAProcessForAPlansTenantsToo) {
  Options options;
  options.measure_in = "child";
  EXPECT_FALSE(options.measures_in_child()) << "there is nothing to measure";
  options.plan = "pair.plan.json";
  EXPECT_TRUE(options.measures_in_child());
  const std::vector<std::string> command = options.engine().measuring_command;
  EXPECT_THAT(command, ::testing::Contains("pair.plan.json"));
  options.models = {"zoo:resnet18"};
  EXPECT_THAT(options.engine().measuring_command,
              ::testing::AllOf(::testing::Contains("zoo:resnet18"),
                               ::testing::Not(::testing::Contains("--plan"))));
  options.measure_in = "auto";
  EXPECT_FALSE(options.measures_in_child());
  options.device = "cuda";
  EXPECT_TRUE(options.measures_in_child());
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
