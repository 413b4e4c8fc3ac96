#include "backend/cuda/program.h"

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backend/cuda/module.h"
#include "backend/cuda/services.h"
#include "tests/backend/cuda/tickets.h"

namespace gacer::cuda {
namespace {

/// Notes when it ran: stamp(unsigned* clock, unsigned* at).
class Stamp final : public Kernel {
 public:
  Stamp(CUkernel kernel, void* clock) : kernel_(kernel), clock_(clock) {}
  void record(const Bindings& bindings, Recorder& recorder) const override {
    void* clock = clock_;
    void* at = bindings.outputs[0];
    void* arguments[] = {&clock, &at};
    launch_kernel(dynamic_cast<CudaRecorder&>(recorder).stream(), kernel_, {1}, {1}, 0, arguments);
  }

 private:
  CUkernel kernel_;
  void* clock_;
};

/// Programs on made_up_driver.cpp, which runs a graph's nodes in any order that its edges allow.
class CudaProgramOrder : public ::testing::Test {
 protected:
  struct Drawn {
    std::unique_ptr<CudaCapture> capture;
    std::vector<unsigned> taken = std::vector<unsigned>(64, 0);
    unsigned uses = 0;
  };

  std::unique_ptr<Drawn> make_drawn() {
    auto made = std::make_unique<Drawn>();
    Bindings bindings;
    bindings.outputs = {made->taken.data()};
    made->capture = capture_kernel(services_, Tickets(module_.kernel("take")), bindings, fill_);
    return made;
  }

  /// Each ticket was drawn as often as the capture was used, and no other.
  static void expect_drawn(const Drawn& drawn) {
    std::vector<unsigned> expected(64, 0);
    std::fill_n(expected.begin(), kTickets, drawn.uses);
    EXPECT_EQ(drawn.taken, expected);
  }

  std::unique_ptr<CudaProgram> assemble(const std::vector<ProgramStep>& steps) {
    return std::make_unique<CudaProgram>(context_, stream_, steps, fill_.reset);
  }

  Context context_{0};
  Stream stream_{context_};
  Services services_{context_, stream_};
  Module module_{context_, ""};
  FillKernels fill_{services_.kernel("fill", "fill"), services_.kernel("fill", "reset")};
  std::mt19937 random_{5};
};

TEST_F(CudaProgramOrder, ChainsResetWhatTheyUseAgain) {
  const auto one = make_drawn();
  const auto two = make_drawn();
  EXPECT_EQ(one->capture->num_launches(), 1);
  std::vector<ProgramStep> steps(4);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    steps[i].capture = (i == 1 ? two : one)->capture.get();
    if (i > 0) steps[i].waits_for = {static_cast<int>(i) - 1};
  }
  const auto program = assemble(steps);
  EXPECT_EQ(program->num_launches(), 4);
  for (int run = 0; run < 20; ++run) program->run();
  one->uses = 60;
  two->uses = 20;
  expect_drawn(*one);
  expect_drawn(*two);
}

/// Steps of some captures with counters and some without, in lanes, with edges drawn at random.
TEST_F(CudaProgramOrder, RandomProgramsKeepTheirEdgesAndTheirCounters) {
  for (int trial = 0; trial < 200; ++trial) {
    SCOPED_TRACE(trial);
    const auto draw = [&](int low, int high) {
      return low + static_cast<int>(random_() % static_cast<unsigned>(high - low + 1));
    };
    std::vector<std::unique_ptr<Drawn>> drawn;
    for (int i = draw(1, 6); i > 0; --i) drawn.push_back(make_drawn());
    const int count = draw(1, 40);
    std::vector<unsigned> at(static_cast<std::size_t>(count), 0);
    unsigned clock = 0;
    const Stamp stamp(module_.kernel("stamp"), &clock);
    std::vector<std::unique_ptr<CudaCapture>> stamps;

    const auto make_program = [&] {
      std::vector<ProgramStep> steps(static_cast<std::size_t>(count));
      const int lanes = draw(1, 4);
      for (int i = 0; i < count; ++i) {
        ProgramStep& step = steps[static_cast<std::size_t>(i)];
        step.lane = draw(0, lanes - 1);
        step.priority = draw(-1, 2);
        if (draw(0, 3) == 0) step.budget = {draw(0, 3), draw(4, 8)};
        for (int before = 0; before < i; ++before)
          if (draw(0, 5) == 0) step.waits_for.push_back(before);
        if (draw(0, 1) == 0) {
          step.capture =
              drawn[static_cast<std::size_t>(draw(0, static_cast<int>(drawn.size()) - 1))]
                  ->capture.get();
        } else {
          Bindings bindings;
          bindings.outputs = {&at[static_cast<std::size_t>(i)]};
          step.capture =
              stamps.emplace_back(capture_kernel(services_, stamp, bindings, fill_)).get();
        }
      }
      return steps;
    };
    const std::vector<ProgramStep> plans[] = {make_program(), make_program()};
    const std::unique_ptr<CudaProgram> programs[] = {assemble(plans[0]), assemble(plans[1])};
    for (int round = 0; round < 6; ++round) {
      const auto which = static_cast<std::size_t>(draw(0, 1));
      const std::vector<ProgramStep>& steps = plans[which];
      std::fill(at.begin(), at.end(), 0U);
      if (draw(0, 2) == 0)
        programs[which]->run_traced();
      else
        programs[which]->run();
      for (const ProgramStep& step : steps)
        for (auto& one : drawn) one->uses += one->capture.get() == step.capture ? 1 : 0;
      for (std::size_t i = 0; i < steps.size(); ++i)
        for (const int before : steps[i].waits_for)
          if (at[i] > 0 && at[static_cast<std::size_t>(before)] > 0) {
            EXPECT_LT(at[static_cast<std::size_t>(before)], at[i]);
          }
    }
    for (const auto& one : drawn) expect_drawn(*one);
    if (HasFailure()) return;
  }
}

TEST_F(CudaProgramOrder, MoreCountersThanALaunchResets) {
  std::vector<std::unique_ptr<Drawn>> drawn;
  for (int i = 0; i < kMostResets + 2; ++i) drawn.push_back(make_drawn());
  std::vector<ProgramStep> steps(drawn.size());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    steps[i].capture = drawn[i]->capture.get();
    if (i > 0) steps[i].waits_for = {static_cast<int>(i) - 1};
  }
  const auto program = assemble(steps);
  for (int run = 0; run < 5; ++run) program->run();
  for (const auto& one : drawn) {
    one->uses = 5;
    expect_drawn(*one);
  }
}

}  // namespace
}  // namespace gacer::cuda
