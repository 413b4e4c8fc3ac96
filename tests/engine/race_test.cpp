// Variants whose results change from run to run: searches find them in their plans and do without.
#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core.h"
#include "tests/engine/forwarding_device.h"
#include "tests/engine/support.h"
#include "tests/support/expect_error.h"

namespace gacer {
namespace {

const std::string kPrefix = "drifting+";

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

class DriftingKernel final : public Kernel {
 public:
  DriftingKernel(std::unique_ptr<Kernel> inner, std::int64_t num_elements, DriftingInputs& inputs)
      : inner_(std::move(inner)), num_elements_(num_elements), inputs_(inputs) {}
  std::size_t workspace_bytes() const override { return inner_->workspace_bytes(); }
  bool reads_input(int input) const override { return inner_->reads_input(input); }
  void record(const Bindings& bindings, Recorder& recorder) const override {
    const auto* now = static_cast<const float*>(bindings.inputs[0]);
    inputs_.push_back(std::make_unique<DriftingInput>());
    inputs_.back()->values.assign(now, now + num_elements_);
    Bindings drifting = bindings;
    drifting.inputs[0] = inputs_.back()->values.data();
    inner_->record(drifting, recorder);
  }

 private:
  std::unique_ptr<Kernel> inner_;
  std::int64_t num_elements_;
  DriftingInputs& inputs_;
};

bool reads_model_input(const KernelCall& call) {
  const auto& inputs = call.graph.inputs;
  return std::find(inputs.begin(), inputs.end(), call.node.inputs[0]) != inputs.end();
}

/// Another's variants of what reads a model's input, with such a copy of it.
class DriftingImpl final : public KernelImpl {
 public:
  DriftingImpl(const KernelImpl& inner, DriftingInputs& inputs) : inner_(inner), inputs_(inputs) {}
  std::string_view name() const override { return "drifting"; }
  Result<void> supports(const KernelCall& call) const override {
    if (!reads_model_input(call)) return refuse("nothing drifts but a model's input");
    return inner_.supports(call);
  }
  std::vector<std::string> variants(const KernelCall& call, int width) const override {
    std::vector<std::string> keys = inner_.variants(call, width);
    for (std::string& key : keys) key = kPrefix + key;
    return keys;
  }
  std::unique_ptr<Kernel> prepare(const KernelCall& call, const std::string& key) const override {
    return std::make_unique<DriftingKernel>(inner_.prepare(call, key.substr(kPrefix.size())),
                                            call.inputs[0].shape.num_elements(), inputs_);
  }

 private:
  const KernelImpl& inner_;
  DriftingInputs& inputs_;
};

/// Looks at plans. Variants that drift take no time, others a millisecond, so searches like them;
/// `has_others` says whether there are others for
/// the same nodes.
class DriftingDevice final : public testing::ForwardingDevice {
 public:
  explicit DriftingDevice(bool has_others) {
    for (const KernelImpl* impl : ForwardingDevice::kernels()) {
      drifting_.push_back(std::make_unique<DriftingImpl>(*impl, inputs_));
      others_.push_back(std::make_unique<OtherImpl>(*impl, has_others));
      kernels_.push_back(drifting_.back().get());
      kernels_.push_back(others_.back().get());
    }
  }
  std::span<const KernelImpl* const> kernels() const override { return kernels_; }
  DeviceTiming timing() const override {
    DeviceTiming timing;
    timing.variant = std::chrono::microseconds(1);
    timing.repeat_close = false;
    timing.plan_repeats = std::chrono::milliseconds(1);
    return timing;
  }
  std::unique_ptr<Capture> capture(const Kernel& kernel, const Bindings& bindings) override {
    auto made = ForwardingDevice::capture(kernel, bindings);
    if (dynamic_cast<const DriftingKernel*>(&kernel) != nullptr) quick_.insert(made.get());
    return made;
  }
  std::unique_ptr<Program> assemble(std::span<const ProgramStep> steps) override {
    double ms = 0;
    for (const ProgramStep& step : steps) ms += quick_.contains(step.capture) ? 0.01 : 1;
    return std::make_unique<DriftingProgram>(ForwardingDevice::assemble(steps), inputs_, ms);
  }

 private:
  class OtherImpl final : public KernelImpl {
   public:
    OtherImpl(const KernelImpl& inner, bool runs_all) : inner_(inner), runs_all_(runs_all) {}
    std::string_view name() const override { return inner_.name(); }
    Result<void> supports(const KernelCall& call) const override {
      if (!runs_all_ && reads_model_input(call)) return refuse("drifts here");
      return inner_.supports(call);
    }
    std::vector<std::string> variants(const KernelCall& call, int width) const override {
      return inner_.variants(call, width);
    }
    std::unique_ptr<Kernel> prepare(const KernelCall& call, const std::string& key) const override {
      return inner_.prepare(call, key);
    }

   private:
    const KernelImpl& inner_;
    bool runs_all_;
  };
  class DriftingProgram final : public Program {
   public:
    DriftingProgram(std::unique_ptr<Program> inner, DriftingInputs& inputs, double ms)
        : inner_(std::move(inner)), inputs_(inputs), ms_(ms) {}
    double run() override {
      inner_->run();
      for (const auto& input : inputs_) input->drift();
      return ms_;
    }
    int num_launches() const override { return inner_->num_launches(); }
    std::vector<StepTime> run_traced() override { return inner_->run_traced(); }

   private:
    std::unique_ptr<Program> inner_;
    DriftingInputs& inputs_;
    double ms_;
  };

  DriftingInputs inputs_;
  std::vector<std::unique_ptr<DriftingImpl>> drifting_;
  std::vector<std::unique_ptr<OtherImpl>> others_;
  std::vector<const KernelImpl*> kernels_;
  std::set<const Capture*> quick_;
};

struct Races : ::testing::Test {
  EngineCore& open(bool has_others) {
    EngineOptions options = testing::plain_options();
    options.on_warning = [this](const std::string& text) { warnings.push_back(text); };
    core = std::make_unique<EngineCore>(options, std::make_unique<DriftingDevice>(has_others));
    core->add_graph(testing::named_spec("net", 2), testing::make_random_net(1, 2, 8));
    return *core;
  }
  static int count_drifting(const Plan& plan) {
    int count = 0;
    for (const Lane& lane : plan.lanes)
      count += static_cast<int>(
          std::count_if(lane.steps.begin(), lane.steps.end(),
                        [](const Step& step) { return step.variant.starts_with(kPrefix); }));
    return count;
  }

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
  EXPECT_THAT(warnings, ::testing::Contains(::testing::HasSubstr(kPrefix)));
  for (const ProblemNode& node : core->problem().tenants[0].nodes)
    for (const ProfileRow& row : core->rows().rejected(node.signature, node.batch))
      EXPECT_THAT(row.rejected, ::testing::HasSubstr("in a round of a plan than alone")) << node.op;
}

TEST_F(Races, APlanThatDiffersInAllSearchesIsRefused) {
  open(/*has_others=*/false);
  testing::expect_error(ErrorKind::kDevice, "other results beside others than alone",
                        [&] { core->search("sequential", limits); });
}

}  // namespace
}  // namespace gacer
