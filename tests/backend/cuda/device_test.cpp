#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/backend/cuda/node_run.h"
#include "tests/support/expect_error.h"
#include "tests/support/row_check.h"

namespace gacer {
namespace {

using testing::convert;
using testing::make_case;
using testing::NodeCase;

using CudaDevice = testing::OnCudaDevice<::testing::Test>;

/// A captured kernel with its buffers: y = x + b over `elements` numbers.
struct Captured {
  std::unique_ptr<Kernel> kernel;
  std::vector<std::unique_ptr<Buffer>> buffers;
  std::unique_ptr<Capture> capture;
};

Captured capture_sum(Device& device, std::int64_t elements) {
  const NodeCase node = make_case("Add", {Shape{elements}, Shape{elements}}, {});
  const KernelCall call = make_call(node.graph, 0, Precision::kF32);
  Captured made;
  for (const KernelImpl* impl : device.kernels())
    if (impl->supports(call)) {
      made.kernel = impl->prepare(call, impl->variants(call, device.info().num_groups)[0]);
      break;
    }
  Bindings bindings;
  for (int i = 0; i < 3; ++i) {
    made.buffers.push_back(device.allocate(static_cast<std::size_t>(elements) * sizeof(float)));
    void* data = made.buffers.back()->data();
    device.fill(data, 0, made.buffers.back()->size());
    if (i < 2) bindings.inputs.push_back(data);
  }
  bindings.outputs = {made.buffers[2]->data()};
  made.capture = device.capture(*made.kernel, bindings);
  return made;
}

double best_of(Program& program, int runs) {
  double best = program.run();
  for (int i = 1; i < runs; ++i) best = std::min(best, program.run());
  return best;
}

TEST_F(CudaDevice, StatesItsFacts) {
  const DeviceInfo& info = device_->info();
  EXPECT_EQ(info.kind, "cuda");
  EXPECT_GT(info.num_units, 0);
  EXPECT_GE(info.num_groups * info.units_per_group, 1);
  EXPECT_LE(info.num_groups * info.units_per_group, info.num_units);
  EXPECT_THAT(info.libraries, ::testing::Contains(::testing::Key("cudnn")));
  EXPECT_EQ(device_->kernel_set().size(), 12U) << "of the backend's own kernels";
}

TEST_F(CudaDevice, RefusesMoreMemoryThanThereIs) {
  const std::size_t free = device_->free_bytes();
  testing::expect_error(ErrorKind::kOutOfMemory, std::to_string(free * 2),
                        [&] { device_->allocate(free * 2); });
  EXPECT_NO_THROW(device_->allocate(1 << 20));
}

TEST_F(CudaDevice, CopiesAndComparesRows) { testing::expect_row_checks(*device_); }

TEST_F(CudaDevice, NoNumbersWinInMaxAndMin) {
  for (const char* op : {"Max", "Min"})
    for (std::size_t input = 0; input < 3; ++input) {
      NodeCase node = make_case(op, {Shape{64}, Shape{64}, Shape{64}}, {});
      node.inputs[input].mutable_data<float>()[5] = std::numeric_limits<float>::quiet_NaN();
      const auto results = testing::run_variants(*device_, node, Precision::kF32, 1);
      ASSERT_FALSE(results.empty());
      for (const testing::VariantResult& result : results) {
        ASSERT_EQ(result.refusal, "");
        std::vector<float> values(64);
        std::memcpy(values.data(), result.bytes.data(), result.bytes.size());
        EXPECT_EQ(std::count_if(values.begin(), values.end(), [](float x) { return x != x; }), 1);
        EXPECT_TRUE(std::isnan(values[5])) << op << ", operand " << input;
      }
    }
}

TEST_F(CudaDevice, SmallBudgetIsManyTimesSlower) {
  if (device_->info().num_groups < 8) GTEST_SKIP() << "few SM groups";
  const Captured sum = capture_sum(*device_, 1 << 24);
  const auto time_on = [&](Budget budget) {
    return best_of(*testing::assemble_alone(*device_, *sum.capture, budget), 10);
  };
  const double all = time_on({});
  const double one = time_on({0, 1});
  const double half = time_on({0, device_->info().num_groups / 2});
  RecordProperty("all_us", std::to_string(all * 1e3));
  printf("sum of 2^24 floats: all %.1f us, half %.1f us, one group %.1f us\n", all * 1e3,
         half * 1e3, one * 1e3);
  EXPECT_GT(one, 3 * all);
  EXPECT_GE(half, 0.9 * all);
}

TEST_F(CudaDevice, DisjointBudgetsRunSideBySide) {
  if (device_->info().num_groups < 8) GTEST_SKIP() << "few SM groups";
  const Captured a = capture_sum(*device_, 1 << 22);
  const Captured b = capture_sum(*device_, 1 << 22);
  std::vector<ProgramStep> steps(2);
  steps[0].capture = a.capture.get();
  steps[0].budget = {0, 2};
  steps[1].capture = b.capture.get();
  steps[1].budget = {2, 4};
  steps[1].lane = 1;
  const double together = best_of(*device_->assemble(steps), 10);
  steps[1].waits_for = {0};
  const double in_turn = best_of(*device_->assemble(steps), 10);
  printf("two sums on 16 SMs each: together %.1f us, in turn %.1f us\n", together * 1e3,
         in_turn * 1e3);
  EXPECT_LT(together, 0.75 * in_turn);
}

TEST_F(CudaDevice, ProgramKeepsLaunchesPrioritiesAndTrace) {
  const Captured sum = capture_sum(*device_, 1 << 20);
  std::vector<ProgramStep> steps(6);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    steps[i].capture = sum.capture.get();
    steps[i].priority = static_cast<int>(i % 3);
    steps[i].lane = static_cast<int>(i % 2);
    if (i >= 2) steps[i].waits_for = {static_cast<int>(i) - 2};
  }
  const std::unique_ptr<Program> program = device_->assemble(steps);
  EXPECT_EQ(program->num_launches(), 6);
  program->run();
  const std::vector<StepTime> times = program->run_traced();
  ASSERT_EQ(times.size(), steps.size());
  for (std::size_t i = 0; i < times.size(); ++i) {
    EXPECT_LE(times[i].begin_ms, times[i].end_ms);
    if (i >= 2) {
      EXPECT_LE(times[i - 2].end_ms, times[i].begin_ms + 1e-3);
    }
  }
}

TEST_F(CudaDevice, AProfilerSeesKernelsInTheirSmSets) {
  if (device_->info().num_groups < 8) GTEST_SKIP() << "few SM groups";
  const Captured sum = capture_sum(*device_, 1 << 20);
  std::vector<ProgramStep> steps(6);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    steps[i].capture = sum.capture.get();
    if (i > 0) steps[i].waits_for = {static_cast<int>(i) - 1};
  }
  steps[1].budget = {0, 2};
  steps[2].budget = {0, 2};
  steps[3].budget = {2, 4};
  std::vector<PlacementRow> rows;
  try {
    rows = device_->assemble(steps)->observe_placement();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kUnsupported) throw;
    GTEST_SKIP() << error.what();
  }
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0].budget, Budget());
  EXPECT_EQ(rows[1].budget, (Budget{0, 2}));
  EXPECT_EQ(rows[2].budget, (Budget{2, 4}));
  const std::vector<int> kernels = {3, 2, 1};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].expected_kernels, kernels[i]);
    EXPECT_EQ(rows[i].seen_kernels, kernels[i]);
    EXPECT_GT(rows[i].busy_ms, 0);
  }
}

}  // namespace
}  // namespace gacer
