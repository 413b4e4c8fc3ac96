#include <atomic>
#include <chrono>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/baseline.h"
#include "engine/core.h"
#include "engine/make_problem.h"
#include "ops/op_def.h"
#include "tests/engine/forwarding_device.h"
#include "tests/engine/support.h"
#include "tests/support/expect_error.h"

namespace gacer {
namespace {

std::unique_ptr<EngineCore> make_core(int num_tenants, std::uint64_t seed, std::int64_t batch,
                                      int repeat = 1) {
  auto core = std::make_unique<EngineCore>(testing::plain_options());
  for (int t = 0; t < num_tenants; ++t) {
    TenantSpec spec = testing::named_spec("net" + std::to_string(t), batch);
    spec.repeat = t == 0 ? repeat : 1;
    core->add_graph(spec, testing::make_random_net(seed + static_cast<std::uint64_t>(t), batch));
  }
  return core;
}

TEST(Compile, TheBaselineComputesWhatPlainLoopsDo) {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    EngineCore core(testing::plain_options());
    const Graph original = testing::make_random_net(seed, 3);
    core.add_graph(testing::named_spec("net", 3), original);
    const auto compiled = core.compile(core.baseline());
    const RoundInputs inputs = make_random_inputs(core.tenants(), 11);
    upload_inputs(core.device(), core.tenants(), inputs);
    compiled->run();
    const RoundOutputs outputs = download_outputs(core.device(), core.tenants());
    const std::vector<Tensor> expected = evaluate_graph(original, inputs[0]);
    ASSERT_EQ(expected.size(), outputs[0].size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const CheckResult result = compare_tensors(outputs[0][i], expected[i], 1e-5);
      EXPECT_TRUE(result.outputs_match) << result.worst << ", seed " << seed;
    }
  }
}

TEST(Compile, AnyLegalPlanComputesWhatTheBaselineDoes) {
  std::mt19937 random(42);
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    const auto core = make_core(1 + static_cast<int>(seed % 3), 100 * seed,
                                1 + static_cast<int>(seed) * 2 % 5, 1 + static_cast<int>(seed % 2));
    for (int trial = 0; trial < 4; ++trial) {
      const Plan plan = testing::make_random_plan(*core, random);
      const auto compiled = core->compile(plan);
      const CheckResult result = core->checker().check(*compiled);
      EXPECT_TRUE(result.outputs_match) << result.worst << ", seed " << seed;
      EXPECT_EQ(compiled->num_launches(), static_cast<int>(plan.num_steps()));
    }
  }
}

TEST(Compile, FreeRunningTenantsComputeTheSame) {
  const auto core = make_core(3, 7, 2);
  Plan plan = core->baseline();
  plan.sync_points.clear();
  plan.mode = LaunchMode::kFreeRunning;
  const auto compiled = core->compile(plan);
  const CheckResult result = core->checker().check(*compiled);
  EXPECT_TRUE(result.outputs_match) << result.worst;
  EXPECT_EQ(compiled->run_traced().size(), plan.num_steps());
}

TEST(Compile, FreeRunningTenantsMayNotWaitForEachOther) {
  const auto core = make_core(2, 7, 2);
  Plan plan = core->baseline();
  plan.mode = LaunchMode::kFreeRunning;
  EXPECT_THROW(core->compile(plan), Error);
}

TEST(Compile, ASavedPlanReplaysInANewEngineWithoutAProfile) {
  std::mt19937 random(3);
  const auto first = make_core(2, 50, 4);
  const Plan plan = testing::make_random_plan(*first, random);
  const auto compiled = first->compile(plan);
  const RoundInputs inputs = make_random_inputs(first->tenants(), 1);
  upload_inputs(first->device(), first->tenants(), inputs);
  compiled->run();
  const RoundOutputs expected = download_outputs(first->device(), first->tenants());

  const auto second = make_core(2, 50, 4);
  const Plan parsed = parse_plan(to_json(plan));
  EXPECT_EQ(parsed, plan);
  const auto replayed = second->compile(parsed);
  EXPECT_EQ(second->rows().size(), 0U);
  EXPECT_EQ(replayed->num_launches(), compiled->num_launches());
  ASSERT_EQ(replayed->steps().size(), compiled->steps().size());
  for (std::size_t i = 0; i < replayed->steps().size(); ++i) {
    EXPECT_EQ(replayed->refs()[i], compiled->refs()[i]);
    EXPECT_EQ(replayed->steps()[i].waits_for, compiled->steps()[i].waits_for);
    EXPECT_EQ(replayed->steps()[i].capture->footprint(), compiled->steps()[i].capture->footprint());
  }
  upload_inputs(second->device(), second->tenants(), inputs);
  replayed->run();
  const CheckResult result =
      compare_outputs(second->tenants(), download_outputs(second->device(), second->tenants()),
                      expected, make_tolerances(second->tenants()));
  EXPECT_TRUE(result.outputs_match);
  EXPECT_EQ(result.max_rel_error, 0) << "the same launches give the same bits";
}

TEST(Compile, APlanOfOtherTenantsOrUnknownVariantsIsRefused) {
  const auto core = make_core(2, 7, 2);
  const auto other = make_core(2, 8, 2);
  testing::expect_error(ErrorKind::kPlan, "", [&] { core->compile(other->baseline()); });
  Plan plan = core->baseline();
  plan.lanes[1].steps[2].variant = "plain/threads=77";
  try {
    core->compile(plan);
    FAIL() << "accepted an unknown variant";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kPlan);
    EXPECT_NE(std::string(error.what()).find("plain/threads=77"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("net1"), std::string::npos);
  }
}

TEST(Compile, CapturesAreSharedBetweenPlansAndDroppedByTrim) {
  const auto core = make_core(1, 7, 2);
  const Plan plan = core->baseline();
  const auto first = core->compile(plan);
  const auto second = core->compile(plan);
  for (std::size_t i = 0; i < first->steps().size(); ++i)
    EXPECT_EQ(first->steps()[i].capture, second->steps()[i].capture);
  core->compiler().trim();
  const auto third = core->compile(plan);
  EXPECT_EQ(first->steps()[0].capture, third->steps()[0].capture) << "still in use";
}

TEST(Compile, AddressesStayWhereTheyWere) {
  const auto core = make_core(2, 7, 2);
  const auto before = core->tenants()[0]->storage(core->tenants()[0]->graph().inputs[0]);
  core->add_graph(testing::named_spec("late", 2), testing::make_random_net(99, 2));
  EXPECT_EQ(core->tenants()[0]->storage(core->tenants()[0]->graph().inputs[0]), before);
}

/// A device that is lost as soon as anything runs.
class LostDevice final : public testing::ForwardingDevice {
 public:
  std::unique_ptr<Program> assemble(std::span<const ProgramStep> steps) override {
    return std::make_unique<LostProgram>(ForwardingDevice::assemble(steps));
  }

 private:
  class LostProgram final : public Program {
   public:
    explicit LostProgram(std::unique_ptr<Program> program) : program_(std::move(program)) {}
    double run() override { fail(ErrorKind::kDevice, "unspecified launch failure"); }
    int num_launches() const override { return program_->num_launches(); }
    std::vector<StepTime> run_traced() override { return {{0, run()}}; }

   private:
    std::unique_ptr<Program> program_;
  };
};

/// A device that holds whoever waits for a round until it is let go; only the first round is held.
class StuckDevice final : public testing::ForwardingDevice {
 public:
  std::unique_ptr<Program> assemble(std::span<const ProgramStep> steps) override {
    return std::make_unique<StuckProgram>(*this, ForwardingDevice::assemble(steps));
  }
  std::atomic<bool> is_stuck{true};

 private:
  class StuckProgram final : public Program {
   public:
    StuckProgram(StuckDevice& device, std::unique_ptr<Program> program)
        : device_(device), program_(std::move(program)) {}
    double run() override {
      device_.is_stuck.wait(true);
      return program_->run();
    }
    int num_launches() const override { return program_->num_launches(); }
    std::vector<StepTime> run_traced() override { return program_->run_traced(); }

   private:
    StuckDevice& device_;
    std::unique_ptr<Program> program_;
  };
};

TEST(Compile, ARoundThatDoesNotEndIsToldOnce) {
  auto owned = std::make_unique<StuckDevice>();
  StuckDevice& device = *owned;
  std::vector<std::string> told;
  EngineOptions options = testing::plain_options();
  options.round_limit = std::chrono::milliseconds(300);
  options.on_stuck = [&](const std::string& what) {
    told.push_back(what);
    device.is_stuck = false;
    device.is_stuck.notify_all();
  };
  EngineCore core(options, std::move(owned));
  core.add_graph(testing::named_spec("net", 2), testing::make_random_net(1, 2));
  const auto compiled = core.compile(core.baseline());
  for (int round = 0; round < 3; ++round) compiled->run();
  std::this_thread::sleep_for(std::chrono::milliseconds(400));  // between rounds none is late
  EXPECT_THAT(told,
              ::testing::ElementsAre("no end after 0.3 s: a round of a plan of policy 'baseline'"));
}

TEST(Compile, TheBaselineHasNoVariantThatTheProfileRejected) {
  for (const bool has_others : {true, false}) {
    EngineCore core(testing::plain_options(has_others ? "impl=all" : "impl=plain"));
    core.add_graph(testing::named_spec("net", 2), testing::make_random_net(1, 2));
    const auto first_variant = [&](const ProfileTable& rows) {
      return make_baseline_plan(core.device(), core.problem(), core.tenants(), rows)
          .lanes[0]
          .steps[0]
          .variant;
    };
    ProfileRow row;
    row.signature = core.problem().tenants[0].nodes[0].signature;
    row.items = core.problem().tenants[0].nodes[0].batch;
    row.variant = first_variant({});
    row.rejected = "writes nothing";
    ProfileTable rows;
    row.width = core.device().info().num_groups + 1;
    rows.add(row);
    EXPECT_EQ(first_variant(rows), row.variant) << "rejected elsewhere";
    row.width = core.device().info().num_groups;
    rows.add(row);
    if (has_others)
      EXPECT_NE(first_variant(rows), row.variant);
    else
      testing::expect_error(ErrorKind::kUnsupported, row.variant + " writes nothing",
                            [&] { first_variant(rows); });
  }
}

TEST(Compile, ThePlanInWhoseRoundADeviceFailsIsNamedAndKept) {
  LostDevice device;
  ModelLoader loader(device, Precision::kF32, {});
  const LoadedModel& model = loader.adopt("net", testing::make_random_net(1, 2));
  std::vector<std::unique_ptr<PlacedTenant>> tenants;
  tenants.push_back(std::make_unique<PlacedTenant>(
      place_tenant(device, Precision::kF32, testing::named_spec("net", 2), model, tenants)));
  Problem problem;
  problem.device = device.info();
  problem.tenants.push_back(make_problem_tenant(*tenants[0]));
  Plan plan = make_baseline_plan(device, problem, tenants, {});
  plan.policy = "gacer";

  Compiler compiler(device, tenants);
  const auto nowhere = compiler.compile(problem, plan);
  testing::expect_error(ErrorKind::kDevice, "in a round of a plan of policy 'gacer'",
                        [&] { nowhere->run(); });
  const testing::TempDir folder;
  const std::string path = folder.path / "failed.plan.json";
  compiler.keep_failed_plan(path);
  const auto compiled = compiler.compile(problem, plan);
  EXPECT_FALSE(std::filesystem::exists(path));
  testing::expect_error(ErrorKind::kDevice, "kept in '" + path + "'",
                        [&] { compiled->run_traced(); });
  EXPECT_EQ(load_plan(path), plan);
  compiler.keep_failed_plan(folder.path / "missing" / "failed.plan.json");
  testing::expect_error(ErrorKind::kDevice,
                        "unspecified launch failure\n  in a round of a plan of "
                        "policy 'gacer', which could not be kept: ",
                        [&] { compiler.compile(problem, plan)->run(); });
}

}  // namespace
}  // namespace gacer
