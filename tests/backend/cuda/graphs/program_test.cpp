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
#include "tests/support/expect_error.h"

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
  const Capture* const first = one->capture.get();
  const auto program = assemble(make_chain({first, two->capture.get(), first, first}));
  EXPECT_EQ(program->num_launches(), 4);
  for (int run = 0; run < 20; ++run) program->run();
  expect_drawn(one->taken, 60);
  expect_drawn(two->taken, 20);
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
    for (const auto& one : drawn) expect_drawn(one->taken, one->uses);
    if (HasFailure()) return;
  }
}

TEST_F(CudaProgramOrder, MemorySetsOfLargeWorkspacesStayBeforeTheirKernel) {
  std::vector<unsigned> taken(64, 0);
  std::vector<std::byte> workspace(1 << 13);
  Bindings bindings;
  bindings.outputs = {taken.data()};
  bindings.workspace = workspace.data();
  const Tickets tickets(module_.kernel("take"), workspace.size());
  const auto capture = capture_kernel(services_, tickets, bindings, fill_);
  EXPECT_EQ(capture->num_launches(), 2);
  const auto program = assemble(make_chain({capture.get(), capture.get()}));
  for (int run = 0; run < 10; ++run) program->run();
  expect_drawn(taken, 20);
}

TEST_F(CudaProgramOrder, MoreCountersThanALaunchResets) {
  std::vector<std::unique_ptr<Drawn>> drawn;
  std::vector<const Capture*> used;
  for (int i = 0; i < kMostResets + 2; ++i)
    used.push_back(drawn.emplace_back(make_drawn())->capture.get());
  const auto program = assemble(make_chain(used));
  for (int run = 0; run < 5; ++run) program->run();
  for (const auto& one : drawn) expect_drawn(one->taken, 5);
}

/// A fault of the driver under the tests while this lives.
class DriverFault {
 public:
  explicit DriverFault(int which) { set(which); }
  ~DriverFault() { set(0); }
  DriverFault(const DriverFault&) = delete;
  DriverFault& operator=(const DriverFault&) = delete;

 private:
  static void set(int which) {
    reinterpret_cast<void (*)(int)>(driver_library().symbol("made_up_fault"))(which);
  }
};

TEST_F(CudaProgramOrder, AGraphThatIsNotWhatWasAskedForIsRefused) {
  const auto one = make_drawn();
  const auto two = make_drawn();
  std::vector<ProgramStep> steps = make_chain({one->capture.get(), two->capture.get()});
  steps[1].priority = 1;
  steps[1].budget = {0, 4};
  EXPECT_NO_THROW(assemble(steps));
  const char* const complaints[] = {"the program's graph has 0 kernels, its steps have 2",
                                    "step 1: priority 0 instead of -1",
                                    "step 1: the kernel is not in its SM set"};
  for (int fault = 1; fault <= 3; ++fault) {
    const DriverFault made(fault);
    testing::expect_error(ErrorKind::kInternal, complaints[fault - 1], [&] { assemble(steps); });
  }
}

}  // namespace
}  // namespace gacer::cuda
