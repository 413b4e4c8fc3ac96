// Variants whose results change from run to run: searches find them in their plans and do without.
#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core.h"
#include "tests/engine/support.h"
#include "tests/engine/timed_device.h"
#include "tests/support/expect_error.h"

namespace gacer {
namespace {

/// A copy of a model's input that is another one in every round, by less than a tolerance.
struct DriftingInput {
  std::vector<float> values;
  float step = 1e-5F;
  void drift() {
    for (float& value : values) value += step;
    step = -step;
  }
};
using DriftingInputs = std::vector<std::unique_ptr<DriftingInput>>;

class DriftingKernel final : public testing::NamedKernel {
 public:
  DriftingKernel(std::unique_ptr<Kernel> inner, std::int64_t num_elements, DriftingInputs& inputs)
      : NamedKernel("drifting", std::move(inner)), num_elements_(num_elements), inputs_(inputs) {}
  void record(const Bindings& bindings, Recorder& recorder) const override {
    const auto* now = static_cast<const float*>(bindings.inputs[0]);
    inputs_.push_back(std::make_unique<DriftingInput>());
    inputs_.back()->values.assign(now, now + num_elements_);
    Bindings drifting = bindings;
    drifting.inputs[0] = inputs_.back()->values.data();
    NamedKernel::record(drifting, recorder);
  }

 private:
  std::int64_t num_elements_;
  DriftingInputs& inputs_;
};

bool reads_model_input(const KernelCall& call) {
  const auto& inputs = call.graph.inputs;
  return std::find(inputs.begin(), inputs.end(), call.node.inputs[0]) != inputs.end();
}

/// Looks at plans. What reads a model's input has variants that drift and take no time, and others
/// of a millisecond, if `has_others`.
class DriftingDevice final : public testing::TimedDevice {
 public:
  DriftingDevice(const std::vector<std::string>& drifting, bool has_others) {
    add_kernels(
        drifting,
        [](const KernelCall& call) -> Result<void> {
          if (!reads_model_input(call)) return refuse("nothing drifts but a model's input");
          return {};
        },
        [this](const std::string&, const KernelCall& call, std::unique_ptr<Kernel> kernel) {
          return std::make_unique<DriftingKernel>(std::move(kernel),
                                                  call.inputs[0].shape.num_elements(), inputs_);
        });
    add_kernels(
        {"steady"},
        [has_others](const KernelCall& call) -> Result<void> {
          if (!has_others && reads_model_input(call)) return refuse("a model's input drifts");
          return {};
        },
        [](const std::string&, const KernelCall&, std::unique_ptr<Kernel> kernel) {
          return kernel;
        });
  }
  DeviceTiming timing() const override {
    DeviceTiming timing;
    timing.variant = std::chrono::microseconds(1);
    timing.repeat_close = false;
    timing.plan_repeats = std::chrono::milliseconds(1);
    return timing;
  }
  double time_of(std::span<const ProgramStep> steps) const override {
    double ms = 0;
    for (const ProgramStep& step : steps) ms += name_of(step.capture) == "drifting" ? 0.01 : 1;
    return ms;
  }
  void after_run() override {
    for (const auto& input : inputs_) input->drift();
  }

 private:
  DriftingInputs inputs_;
};

struct Races : ::testing::Test {
  EngineCore& open(bool has_others) {
    EngineOptions options = testing::plain_options();
    options.on_warning = [this](const std::string& text) { warnings.push_back(text); };
    core =
        std::make_unique<EngineCore>(options, std::make_unique<DriftingDevice>(names, has_others));
    core->add_graph(testing::named_spec("net", 2), testing::make_random_net(1, 2, 8));
    return *core;
  }
  static int count_drifting(const Plan& plan) {
    int count = 0;
    for (const Lane& lane : plan.lanes)
      count += static_cast<int>(
          std::count_if(lane.steps.begin(), lane.steps.end(),
                        [](const Step& step) { return step.variant.starts_with("drifting"); }));
    return count;
  }

  std::vector<std::string> names{"drifting"};  ///< of the variants that drift
  std::vector<std::string> warnings;
  std::unique_ptr<EngineCore> core;
  PolicyLimits limits{.evaluations = 10, .measurements = 4, .time = std::chrono::milliseconds(0)};
};

TEST_F(Races, AVariantThatDiffersInItsPlanIsRejectedAndSearchedAround) {
  open(/*has_others=*/true);
  PolicyLimits unmeasured = limits;
  unmeasured.measurements = 0;
  const Plan before = core->search("sequential", unmeasured);
  ASSERT_GT(count_drifting(before), 0) << "they are the fastest, and nobody has looked";
  EXPECT_FALSE(core->names_rejected(before));

  const Plan plan = core->search("sequential", limits);
  EXPECT_EQ(count_drifting(plan), 0);
  EXPECT_FALSE(core->names_rejected(plan));
  EXPECT_TRUE(core->names_rejected(before));
  EXPECT_THAT(warnings, ::testing::Contains(::testing::HasSubstr("drifting+")));
  for (const ProblemNode& node : core->problem().tenants[0].nodes)
    for (const ProfileRow& row : core->rows().rejected(node.signature, node.batch))
      EXPECT_THAT(row.rejected, ::testing::HasSubstr("in a round of a plan than alone")) << node.op;
}

TEST_F(Races, ANodeWithoutVariantsThatStayTheSameIsRefusedAndStaysSo) {
  open(/*has_others=*/false);
  testing::expect_error(ErrorKind::kUnsupported, "in a round of a plan than alone",
                        [&] { core->search("sequential", limits); });
  limits.measurements = 0;  // nobody would look again
  testing::expect_error(ErrorKind::kUnsupported, "in a round of a plan than alone",
                        [&] { core->search("sequential", limits); });
}

TEST_F(Races, AsManySearchesFollowAsThereAreVariantsToReject) {
  names = {"drifting", "drifting2", "drifting3", "drifting4", "drifting5"};
  open(/*has_others=*/true);
  EXPECT_EQ(count_drifting(core->search("sequential", limits)), 0);
  std::set<std::string> rejected;
  for (const ProblemNode& node : core->problem().tenants[0].nodes)
    for (const ProfileRow& row : core->rows().rejected(node.signature, node.batch))
      rejected.insert(row.variant.substr(0, row.variant.find('+')));
  EXPECT_THAT(rejected, ::testing::ElementsAreArray(names));
}

}  // namespace
}  // namespace gacer
