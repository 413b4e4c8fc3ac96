#include "tests/scenario/scenario.h"

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include <gtest/gtest.h>

#include <gacer/engine.h>

#include "base/file.h"

namespace gacer::test {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> scenario_files() {
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(fs::path(GACER_SOURCE_DIR) / "tests/scenario")) {
    if (entry.path().extension() == ".scn") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = fs::path(info.param).stem().string();
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
}

/// What an expectation's left side counts.
double count(const PlanSummary& summary, const std::string& what) {
  if (what == "steps") return static_cast<double>(summary.steps);
  if (what == "chunks") return static_cast<double>(summary.chunks);
  if (what == "budgets") return static_cast<double>(summary.budgets);
  if (what == "sync_points") return static_cast<double>(summary.sync_points);
  if (what == "barriers") return static_cast<double>(summary.barriers);
  if (what == "priorities") return static_cast<double>(summary.priorities);
  throw std::runtime_error("unknown subject '" + what + "'");
}

class ScenarioRun {
 public:
  explicit ScenarioRun(const std::string& file) : ScenarioRun(file, read_file(file)) {}
  ScenarioRun(const std::string& file, const std::string& text)
      : file_(file),
        scenario_(parse_scenario(file, text)),
        bench_(scenario_.device.starts_with("made-up") ? make_made_up_bench(scenario_)
                                                       : make_engine_bench(scenario_)),
        plan_(bench_->make_plan(scenario_.plan)) {}

  void check() {
    for (const Expectation& expectation : scenario_.expectations) {
      SCOPED_TRACE(file_ + ":" + std::to_string(expectation.line) + ": expect " + expectation.text);
      check(expectation);
    }
  }

 private:
  void check(const Expectation& expectation) {
    if (expectation.subject == "valid") {
      EXPECT_NO_THROW(bench_->verify(plan_));
      EXPECT_EQ(parse_plan(to_json(plan_)), plan_);
      return;
    }
    if (expectation.subject == "deterministic") {
      EXPECT_EQ(bench_->make_plan(scenario_.plan), plan_);
      return;
    }
    const double left = expectation.subject == "makespan"
                            ? bench_->makespan_ms(plan_)
                            : count(summarize(plan_), expectation.subject);
    const double right = expectation.factor * value(expectation.right);
    if (expectation.op == "<=") {
      EXPECT_LE(left, right);
    } else {
      EXPECT_GE(left, right);
    }
  }

  double value(const std::string& text) {
    if (text.starts_with("policy:")) {
      PlanRequest request = scenario_.plan;
      request.policy = text.substr(7);
      return bench_->makespan_ms(bench_->make_plan(request));
    }
    if (text.starts_with("bound:")) return bench_->bound_ms(text.substr(6));
    return std::stod(text);
  }

  std::string file_;
  Scenario scenario_;
  std::unique_ptr<Bench> bench_;
  Plan plan_;
};

class ScenarioFile : public testing::TestWithParam<std::string> {};

TEST_P(ScenarioFile, Holds) { ScenarioRun(GetParam()).check(); }

INSTANTIATE_TEST_SUITE_P(Files, ScenarioFile, testing::ValuesIn(scenario_files()), test_name);

TEST(RecordedScenario, ModelsOnARecordedDeviceArePlannedAsOnTheDeviceItself) {
  const std::string recording = (fs::temp_directory_path() / "gacer_scenario_test.json").string();
  {
    EngineOptions options;
    options.use_profile = false;
    Engine engine(options);
    engine.add_tenant(TenantSpec::parse("zoo:lstm@2"));
    engine.record(recording);
  }
  ScenarioRun run("recorded.scn", "device sim:" + recording +
                                      "\ntenant a zoo:lstm@2\ntenant b zoo:lstm@2,priority=high\n"
                                      "plan policy=gacer seed=1 evaluations=300\n"
                                      "expect valid\nexpect deterministic\n"
                                      "expect makespan <= 1.0 * policy:sequential\n"
                                      "expect makespan <= 1.0 * policy:partition\n");
  run.check();
  fs::remove(recording);
}

TEST(ScenarioParser, NamesFileAndLineOfMistakes) {
  const std::string good =
      "device made-up cpu 2\ntenant a synthetic:chain(nodes=3)\nplan policy=streams\nexpect "
      "valid\n";
  EXPECT_EQ(parse_scenario("x.scn", good).tenants.size(), 1U);
  for (const char* bad :
       {"device\n", "planet policy=a\n", "tenant a\n", "plan policy\n", "plan color=1\n",
        "expect makespan\n", "expect makespan < 3\n", "expect makespan <= 2 +\n"}) {
    try {
      parse_scenario("x.scn", good + bad);
      ADD_FAILURE() << bad;
    } catch (const std::runtime_error& e) {
      EXPECT_EQ(std::string(e.what()).rfind("x.scn:5: ", 0), 0U) << e.what();
    }
  }
}

}  // namespace
}  // namespace gacer::test
