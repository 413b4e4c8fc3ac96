#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <gacer/engine.h>
#include <gacer/version.h>

#include "onnx/writer.h"
#include "profile/profile_db.h"
#include "profile/recording.h"
#include "tests/engine/support.h"
#include "tests/support/expect_error.h"
#include "zoo/net_builder.h"

namespace gacer {
namespace {

using ::testing::HasSubstr;

using testing::expect_error;
using testing::TempDir;

struct EngineTest : ::testing::Test {
  EngineTest() {
    model = (dir.path / "net.onnx").string();
    write_onnx(testing::make_random_net(4, 1), model);
  }
  /// Two tenants of the model file.
  Engine make_engine(EngineOptions options = testing::plain_options()) const {
    Engine engine(std::move(options));
    engine.add_tenant(TenantSpec::parse(model + "@2,name=a"));
    engine.add_tenant(TenantSpec::parse(model + "@1,name=b,priority=high"));
    return engine;
  }
  TempDir dir;
  std::string model;
};

MeasureOptions quick() {
  MeasureOptions options;
  options.min_rounds = 2;
  options.time = std::chrono::milliseconds(20);
  return options;
}
PolicyLimits few() {
  PolicyLimits limits;
  limits.evaluations = 40;
  limits.measurements = 3;
  return limits;
}

TEST_F(EngineTest, PortsSayWhatAModelTakesAndGives) {
  Engine engine = make_engine();
  ASSERT_EQ(engine.inputs(0).size(), 1U);
  EXPECT_EQ(engine.inputs(0)[0].name, "x");
  EXPECT_EQ(engine.inputs(0)[0].shape, (Shape{2, 4, 8, 8}));
  EXPECT_EQ(engine.outputs(1)[1].shape, (Shape{1, 5}));
  EXPECT_EQ(engine.tenants()[1].name, "b");
}

TEST_F(EngineTest, WrongInputsAreRefusedWithWhatIsExpected) {
  Engine engine = make_engine();
  const Tensor good = Tensor(DType::kF32, Shape{2, 4, 8, 8});
  expect_error(ErrorKind::kUsage, "its inputs are 'x'",
               [&] { engine.set_input(0, "image", good); });
  expect_error(ErrorKind::kUsage, "f32 [2, 4, 8, 8], the value given is f32 [1, 4, 8, 8]", [&] {
    engine.set_input(0, "x", Tensor(DType::kF32, Shape{1, 4, 8, 8}));
  });
  expect_error(ErrorKind::kUsage, "f16", [&] {
    engine.set_input(0, "x", Tensor(DType::kF16, Shape{2, 4, 8, 8}));
  });
  expect_error(ErrorKind::kUsage, "empty", [&] { engine.set_input(0, "x", Tensor()); });
  expect_error(ErrorKind::kUsage, "no tenant 7", [&] { engine.set_input(7, "x", good); });
  expect_error(ErrorKind::kUsage, "its outputs are 'y', 'z'", [&] { engine.output(0, "w"); });
  expect_error(ErrorKind::kUsage, "no plan is loaded", [&] { engine.run_round(); });
}

TEST_F(EngineTest, BadTenantsLeaveTheEngineAsItWas) {
  Engine engine = make_engine();
  expect_error(ErrorKind::kUnsupported, "training is not built",
               [&] { engine.add_tenant(TenantSpec::parse(model + ":train")); });
  expect_error(ErrorKind::kOutOfMemory, "memory limit is 1000",
               [&] { engine.add_tenant(TenantSpec::parse(model + "@2,memory=1000")); });
  expect_error(ErrorKind::kUsage, "no-such-net",
               [&] { engine.add_tenant(TenantSpec::parse("zoo:no-such-net")); });
  expect_error(ErrorKind::kUsage, "'W'",
               [&] { engine.add_tenant(TenantSpec::parse("zoo:resnet18?W=3")); });
  expect_error(ErrorKind::kIo, "missing.onnx",
               [&] { engine.add_tenant(TenantSpec::parse("missing.onnx")); });
  EXPECT_EQ(engine.tenants().size(), 2U);
  engine.load(engine.make_plan("sequential", few()));
  EXPECT_GT(engine.run_round(), 0);
}

TEST_F(EngineTest, UnknownNamesAreUsageErrors) {
  EngineOptions options = testing::plain_options();
  options.precision = "f23";
  expect_error(ErrorKind::kUsage, "f23", [&] { Engine engine(options); });
  options = testing::plain_options();
  options.device = "tpu";
  expect_error(ErrorKind::kUsage, "tpu", [&] { Engine engine(options); });
  Engine engine = make_engine();
  expect_error(ErrorKind::kUsage, "luck", [&] { engine.make_plan("luck"); });
  expect_error(ErrorKind::kUsage, "no tenants",
               [&] { Engine(testing::plain_options()).make_plan("sequential"); });
}

TEST_F(EngineTest, OutputsDoNotDependOnThePolicy) {
  Engine engine = make_engine();
  Tensor x(DType::kF32, Shape{2, 4, 8, 8});
  float value = -1;
  for (float& element : x.mutable_data<float>()) element = (value += 0.01F);
  engine.set_input(0, "x", x);
  std::vector<float> first;
  for (const std::string policy : {"sequential", "streams", "gacer"}) {
    engine.load(engine.make_plan(policy, few()));
    engine.run_round();
    const Tensor z = engine.output(0, "z");
    const std::vector<float> values(z.data<float>().begin(), z.data<float>().end());
    if (first.empty()) first = values;
    EXPECT_EQ(values, first) << policy;
  }
}

TEST_F(EngineTest, InputsSurviveAComparison) {
  Engine engine = make_engine();
  Tensor x(DType::kF32, Shape{1, 4, 8, 8});
  for (float& element : x.mutable_data<float>()) element = 0.25F;
  engine.set_input(1, "x", x);
  const Plan plan = engine.make_plan("sequential", few());
  engine.load(plan);
  engine.run_round();
  const Tensor before = engine.output(1, "y");
  engine.compare({"sequential", "streams"}, quick(), few());
  engine.load(plan);
  engine.run_round();
  const Tensor after = engine.output(1, "y");
  EXPECT_EQ(std::vector<float>(before.data<float>().begin(), before.data<float>().end()),
            std::vector<float>(after.data<float>().begin(), after.data<float>().end()));
}

TEST_F(EngineTest, AComparisonFillsEveryField) {
  Engine engine = make_engine();
  const Comparison comparison = engine.compare({"auto"}, quick(), few());
  ASSERT_EQ(comparison.policies.size(), 4U);
  EXPECT_EQ(comparison.tenants.size(), 2U);
  EXPECT_GT(comparison.tenants[0].weights_bytes, 0);
  EXPECT_GT(comparison.critical_path_ms, 0);
  EXPECT_GT(comparison.area_estimate_ms, 0);
  EXPECT_FALSE(comparison.chosen.empty());
  EXPECT_FALSE(comparison.best_simple.empty());
  EXPECT_EQ(comparison.regulated_won, comparison.chosen == "gacer");
  for (const PolicyResult& result : comparison.policies) {
    EXPECT_TRUE(result.is_checked);
    EXPECT_TRUE(result.outputs_match) << result.policy;
    EXPECT_LE(result.max_rel_error, 1e-4);
    EXPECT_GE(result.rounds, 2);
    EXPECT_LE(result.min_ms, result.median_ms);
    EXPECT_LE(result.median_ms, result.p95_ms);
    EXPECT_GT(result.utilization, 0);
    EXPECT_NEAR(result.utilization + result.residue, 1, 1e-9);
    EXPECT_EQ(result.timeline.size(), result.plan.num_steps());
    EXPECT_GT(result.launches, 0);
    ASSERT_EQ(result.tenants.size(), 2U);
    for (const TenantResult& tenant : result.tenants) {
      EXPECT_GT(tenant.latency_median_ms, 0);
      EXPECT_LE(tenant.latency_median_ms, tenant.latency_p95_ms);
      EXPECT_GT(tenant.items_per_s, 0);
    }
  }
}

TEST_F(EngineTest, AWarmProfileMeasuresNothing) {
  EngineOptions options = testing::plain_options();
  options.use_profile = true;
  options.profile_path = (dir.path / "rows" / "profile.sqlite").string();
  int tasks = 0;
  options.on_progress = [&](const Progress& progress) {
    if (progress.phase.starts_with("profile") && !progress.detail.empty()) ++tasks;
  };
  make_engine(options).profile();
  EXPECT_GT(tasks, 0);
  tasks = 0;
  make_engine(options).profile();
  EXPECT_EQ(tasks, 0);
}

TEST_F(EngineTest, RowsOfVariantsThatAreGoneAreMeasuredAnew) {
  EngineOptions options = testing::plain_options();
  options.use_profile = true;
  options.profile_path = (dir.path / "profile.sqlite").string();
  Engine engine = make_engine(options);
  engine.profile();
  const std::string device = EngineCore(options).profile_key();
  {
    // What another version might have left: fast variants that are not here.
    ProfileDb db(options.profile_path);
    for (ProfileRow row : db.load(device).all()) {
      row.variant = "gone/threads=1";
      row.solo_ms /= 10;
      db.store(device, row);
    }
  }
  std::string said;
  options.on_warning = [&](const std::string& text) { said += text + "\n"; };
  const Plan plan = make_engine(options).make_plan("sequential", few());
  EXPECT_NE(said.find("no kernel offers 'gone/threads=1' any more"), std::string::npos) << said;
  for (const Lane& lane : plan.lanes)
    for (const Step& step : lane.steps) EXPECT_NE(step.variant, "gone/threads=1");
  // The next process has nothing to mend.
  said.clear();
  (void)make_engine(options).make_plan("sequential", few());
  EXPECT_EQ(said.find("any more"), std::string::npos) << said;
}

TEST_F(EngineTest, RowsThatAnotherVersionLeftAreSaidBeforeMeasuringAnew) {
  EngineOptions options = testing::plain_options();
  options.use_profile = true;
  options.profile_path = (dir.path / "profile.sqlite").string();
  make_engine(options).profile();
  const std::string device = EngineCore(options).profile_key();
  const auto with_onednn = [&](const std::string& version) {
    const std::size_t begin = device.find("onednn=") + 7;
    return std::string(device).replace(begin, device.find('|', begin) - begin, version);
  };
  {
    ProfileDb db(options.profile_path);
    for (ProfileRow row : db.load(device).all()) {
      db.store(with_onednn("0.1.2"), row);
      // Of other models: nothing that is measured again.
      row.signature += " of something else";
      for (const std::int64_t items : {1, 2, 3}) {
        row.items = items;
        db.store(with_onednn("0.3.0"), row);
      }
    }
    db.erase(device);
  }
  std::vector<std::string> said;
  options.on_warning = [&](const std::string& text) { said.push_back(text); };
  Engine engine = make_engine(options);
  engine.profile();
  engine.profile();
  ASSERT_EQ(said.size(), 1U);
  EXPECT_THAT(said[0], HasSubstr(options.profile_path));
  EXPECT_THAT(said[0], HasSubstr("onednn 0.1.2 (here "));
  EXPECT_THAT(said[0], ::testing::ContainsRegex("has [1-9][0-9]* rows"));
  make_engine(options).profile();
  EXPECT_EQ(said.size(), 1U) << "nothing is measured anew";
}

TEST_F(EngineTest, RowsOfFewerKernelsAreNotThoseOfAll) {
  EngineOptions options = testing::plain_options();
  EngineOptions all = options;
  all.device_options = "threads=" + std::to_string(EngineCore(options).problem().device.num_groups);
  EXPECT_EQ(EngineCore(options).problem().device.profile_id(),
            EngineCore(all).problem().device.profile_id())
      << "a plan of plain kernels is one of all kernels, too";
  EXPECT_NE(EngineCore(options).profile_key(), EngineCore(all).profile_key());
}

TEST_F(EngineTest, KeysThatDoNotSteerSearchesAreSaid) {
  EngineOptions options = testing::plain_options();
  std::vector<std::string> said;
  options.on_warning = [&](const std::string& text) { said.push_back(text); };
  Engine engine(options);
  engine.add_tenant(TenantSpec::parse(model + "@1,name=plain"));
  EXPECT_TRUE(said.empty());
  engine.add_tenant(TenantSpec::parse(model + "@1,name=heavy,weight=2"));
  engine.add_tenant(TenantSpec::parse(model + "@1,name=urgent,latency=5ms"));
  ASSERT_EQ(said.size(), 2U);
  EXPECT_THAT(said[0], HasSubstr("'heavy'"));
  EXPECT_THAT(said[1], HasSubstr("'urgent'"));
}

TEST_F(EngineTest, AnInterruptedProfileKeepsItsRowsAndGoesOn) {
  EngineOptions options = testing::plain_options();
  options.use_profile = true;
  options.profile_path = (dir.path / "profile.sqlite").string();
  std::atomic<bool> is_cancelled{false};
  options.is_cancelled = &is_cancelled;
  int tasks = 0;
  options.on_progress = [&](const Progress& progress) {
    if (progress.phase == "profile" && !progress.detail.empty() && ++tasks == 4)
      is_cancelled = true;
  };
  expect_error(ErrorKind::kInterrupted, "kept", [&] { make_engine(options).profile(); });
  const int before = tasks;
  is_cancelled = false;
  tasks = 100;  // never 4 again
  make_engine(options).profile();
  EXPECT_GT(tasks, 100);
  EXPECT_EQ(before, 4);
}

TEST_F(EngineTest, ASavedPlanRunsWithoutAProfile) {
  const std::string path = (dir.path / "plan.json").string();
  {
    Engine engine = make_engine();
    save_plan(engine.make_plan("gacer", few()), path);
  }
  EngineOptions options = testing::plain_options();
  options.on_progress = [](const Progress& progress) {
    EXPECT_FALSE(progress.phase.starts_with("profile")) << progress.detail;
  };
  Engine engine = make_engine(options);
  engine.load(load_plan(path));
  EXPECT_GT(engine.run_round(), 0);
  MeasureOptions alone = quick();
  alone.beside_simple = false;
  const Comparison comparison = engine.measure(load_plan(path), alone);
  ASSERT_EQ(comparison.policies.size(), 1U);
  EXPECT_TRUE(comparison.policies[0].outputs_match);
  EXPECT_EQ(comparison.chosen, "gacer");
}

TEST_F(EngineTest, ExplainSaysWhatAPlanDoes) {
  Engine engine = make_engine();
  const std::string text = engine.explain(engine.make_plan("streams", few()));
  EXPECT_THAT(text, HasSubstr("plan 'streams'"));
  EXPECT_THAT(text, HasSubstr("predicted by the profile's rows:"));
  EXPECT_THAT(text, HasSubstr("sequential would take"));
}

TEST_F(EngineTest, ARecordingCanBePlannedFor) {
  const std::string recording = (dir.path / "device.json").string();
  make_engine().record(recording);
  EngineOptions options = testing::plain_options("");
  options.device = "sim:" + recording;
  Engine engine = make_engine(options);
  const Comparison comparison = engine.compare({"sequential", "streams"}, quick(), few());
  EXPECT_FALSE(comparison.policies[0].is_checked);
  EXPECT_LE(comparison.policies[1].median_ms, comparison.policies[0].median_ms * 1.001);
}

TEST_F(EngineTest, ResultsCountInGroupsWhereThoseHaveSeveralUnits) {
  const std::string path = (dir.path / "device.json").string();
  make_engine().record(path);
  Recording recording = load_recording(path);
  recording.device.num_groups = 6;
  recording.device.units_per_group = 8;
  recording.device.num_units = 50;
  recording.is_width_fixed = false;
  recording.widths = {6};
  ProfileTable rows;
  for (ProfileRow row : recording.rows.all()) {
    if (row.width != 1 || !row.rejected.empty()) continue;
    row.width = 6;
    row.saturated_ms = row.solo_ms / 2;
    rows.add(row);
  }
  recording.rows = rows;
  save_recording(recording, path);
  EngineOptions options = testing::plain_options("");
  options.device = "sim:" + path;
  Engine engine = make_engine(options);
  Plan plan = engine.make_plan("sequential", few());
  for (Lane& lane : plan.lanes)
    for (Step& step : lane.steps) step.budget = {2, 5};
  MeasureOptions alone = quick();
  alone.beside_simple = false;
  const PolicyResult result = engine.measure(plan, alone).policies.at(0);
  // No row has that width: what it fills is estimated from those of the whole device.
  EXPECT_GT(result.utilization, 0.1);
  ASSERT_FALSE(result.timeline.empty());
  for (const PolicyResult::Span& span : result.timeline) {
    EXPECT_EQ(span.unit_begin, 2);
    EXPECT_EQ(span.unit_end, 5);
  }
}

TEST_F(EngineTest, ARecordingIsPlannedForWithoutFusionsThatItsDeviceLacks) {
  // Squeeze-and-excite and a normalized convolution: kernels of other devices take them whole.
  NetBuilder net("fusible", 1, 4);
  const ValueId x =
      net.conv("stem", net.input("x", DType::kF32, Shape{16, 8, 8}), 16, {3, 1, 1, 1}, true);
  const ValueId mean = net.global_average_pool("mean", x);
  const ValueId hidden = net.relu("hidden", net.conv("squeeze", mean, 8, {1, 1, 0, 1}, true));
  const ValueId gate =
      net.op("Sigmoid", "gate", {net.conv("excite", hidden, 16, {1, 1, 0, 1}, true)});
  const ValueId scaled = net.op("Mul", "scaled", {x, gate});
  const ValueId normal = net.relu("relu", net.batch_norm("norm", scaled));
  const ValueId y = net.add("y", scaled, net.conv("last", normal, 16, {3, 1, 1, 1}, true));
  const std::string file = (dir.path / "fusible.onnx").string();
  write_onnx(net.finish({{"out", y}}), file);

  const std::string recording = (dir.path / "device.json").string();
  EngineOptions options = testing::plain_options("");
  options.profile_path = (dir.path / "rows.db").string();
  options.use_profile = true;
  Engine here(options);
  here.add_tenant(TenantSpec::parse(file));
  here.record(recording);
  options.device = "sim:" + recording;
  Engine there(options);
  there.add_tenant(TenantSpec::parse(file));
  EXPECT_GT(there.compare({"sequential"}, quick(), few()).policies[0].median_ms, 0);
}

TEST(Version, NamesAVersionAndACommit) {
  EXPECT_THAT(std::string(version()), ::testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+"));
  EXPECT_THAT(std::string(commit()), ::testing::Not(::testing::IsEmpty()));
}

}  // namespace
}  // namespace gacer
