#include "backend/cuda/capture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/cuda/check.h"
#include "backend/cuda/context.h"
#include "backend/cuda/module.h"
#include "tests/backend/cuda/node_run.h"
#include "tests/backend/cuda/tickets.h"
#include "tests/support/expect_error.h"

namespace gacer::cuda {
namespace {

GACER_ENTRY(driver_library, cuMemsetD16Async);
GACER_ENTRY(driver_library, cuMemsetD2D8Async);

using CudaCaptureTest = testing::OnCudaDevice<::testing::Test>;

struct MemorySet {
  std::size_t offset;
  int element_bytes;
  unsigned value;
  std::size_t elements;
  std::size_t rows = 1;  ///< of single bytes, kPitch apart
};
constexpr std::size_t kPitch = 300;

/// Memory sets as libraries record them.
class MemorySets final : public Kernel {
 public:
  explicit MemorySets(std::vector<MemorySet> sets) : sets_(std::move(sets)) {}
  void record(const Bindings& bindings, Recorder& recorder) const override {
    const CUstream stream = dynamic_cast<CudaRecorder&>(recorder).stream();
    for (const MemorySet& set : sets_) {
      const CUdeviceptr to = reinterpret_cast<CUdeviceptr>(bindings.outputs[0]) + set.offset;
      if (set.rows > 1)
        GACER_CU(cuMemsetD2D8Async(to, kPitch, static_cast<unsigned char>(set.value), set.elements,
                                   set.rows, stream));
      else if (set.element_bytes == 1)
        GACER_CU(cuMemsetD8Async(to, static_cast<unsigned char>(set.value), set.elements, stream));
      else if (set.element_bytes == 2)
        GACER_CU(
            cuMemsetD16Async(to, static_cast<unsigned short>(set.value), set.elements, stream));
      else
        GACER_CU(cuMemsetD32Async(to, set.value, set.elements, stream));
    }
  }

 private:
  std::vector<MemorySet> sets_;
};

void apply(const MemorySet& set, std::vector<std::byte>& bytes) {
  for (std::size_t row = 0; row < set.rows; ++row)
    for (std::size_t i = 0; i < set.elements * static_cast<std::size_t>(set.element_bytes); ++i)
      bytes[set.offset + row * kPitch + i] = static_cast<std::byte>(
          set.value >> (8 * (i % static_cast<std::size_t>(set.element_bytes))));
}

TEST_F(CudaCaptureTest, MemorySetsBecomeKernelsThatFillTheSameBytes) {
  // Later ones write over earlier ones.
  const std::vector<MemorySet> sets = {{0, 1, 0, 1'000'000},       {3, 1, 0xAB, 1},
                                       {1001, 1, 0x7F, 15},        {2003, 1, 0x5C, 4096},
                                       {4098, 2, 0x1234, 7},       {6002, 2, 0xBEEF, 5000},
                                       {20004, 4, 0xDEADBEEF, 3},  {30012, 4, 0x01020304, 100'001},
                                       {500'001, 1, 0x66, 101, 40}};
  std::vector<std::byte> expected(1'100'000, std::byte{0xEE});
  for (const MemorySet& set : sets) apply(set, expected);

  const auto memory = device_->allocate(expected.size());
  const MemorySets kernel(sets);
  Bindings bindings;
  bindings.outputs = {memory->data()};
  const auto capture = device_->capture(kernel, bindings);
  EXPECT_EQ(capture->num_launches(), static_cast<int>(sets.size()));
  device_->fill(memory->data(), 0xEE, memory->size());
  testing::assemble_alone(*device_, *capture)->run();
  std::vector<std::byte> actual(expected.size());
  device_->download(actual.data(), memory->data(), actual.size());
  const auto [at, wanted] = std::mismatch(actual.begin(), actual.end(), expected.begin());
  EXPECT_EQ(at, actual.end()) << "byte " << at - actual.begin() << " is " << static_cast<int>(*at)
                              << ", not " << static_cast<int>(*wanted);
}

TEST_F(CudaCaptureTest, ALaunchThatAskedForNothingKeepsItsSharedMemory) {
  const auto memory = device_->allocate(64);
  Bindings bindings;
  bindings.outputs = {memory->data()};
  const auto capture = device_->capture(MemorySets({{0, 1, 0, 64}}), bindings);
  // Its node reads as "no shared memory, please"; repeated, that leaves room for one block.
  for (const Launch& launch : dynamic_cast<const CudaCapture&>(*capture).launches())
    EXPECT_TRUE(launch.attributes.empty());
}

/// Copies to the first output, as a library would.
class Copy final : public Kernel {
 public:
  Copy(const void* from, std::size_t bytes) : from_(from), bytes_(bytes) {}
  void record(const Bindings& bindings, Recorder& recorder) const override {
    const CUstream stream = dynamic_cast<CudaRecorder&>(recorder).stream();
    const auto to = reinterpret_cast<CUdeviceptr>(bindings.outputs[0]);
    if (bindings.inputs.empty())
      GACER_CU(cuMemcpyHtoDAsync(to, from_, bytes_, stream));
    else
      GACER_CU(cuMemcpyDtoDAsync(to, reinterpret_cast<CUdeviceptr>(from_), bytes_, stream));
  }

 private:
  const void* from_;
  std::size_t bytes_;
};

TEST_F(CudaCaptureTest, CopiesStayOnTheDevice) {
  const auto from = device_->allocate(64);
  const auto to = device_->allocate(64);
  const std::vector<std::byte> host(64, std::byte{7});
  Bindings bindings;
  bindings.outputs = {to->data()};
  // A round would read the host's bytes again, wherever they are by then.
  testing::expect_error(ErrorKind::kUnsupported, "copies from or to the host",
                        [&] { device_->capture(Copy(host.data(), host.size()), bindings); });
  device_->upload(from->data(), host.data(), host.size());
  bindings.inputs = {from->data()};
  const auto capture = device_->capture(Copy(from->data(), from->size()), bindings);
  testing::assemble_alone(*device_, *capture)->run();
  std::vector<std::byte> actual(host.size());
  device_->download(actual.data(), to->data(), actual.size());
  EXPECT_EQ(actual, host);
}

constexpr const char* kTellCluster = R"(
extern "C" __global__ void tell(unsigned* told) {
  unsigned is_explicit, blocks;
  asm volatile("{\n.reg .pred p;\nmov.pred p, %%is_explicit_cluster;\nselp.u32 %0, 1, 0, p;\n}"
               : "=r"(is_explicit));
  asm volatile("mov.u32 %0, %%cluster_nctaid.z;" : "=r"(blocks));
  if (threadIdx.x == 0) told[blockIdx.x * gridDim.z + blockIdx.z] = is_explicit * blocks;
})";

/// Each block writes the size of its cluster, 0 without.
class TellCluster final : public Kernel {
 public:
  TellCluster(CUkernel kernel, unsigned clusters, unsigned size)
      : kernel_(kernel), clusters_(clusters), size_(size) {}
  void record(const Bindings& bindings, Recorder& recorder) const override {
    void* to = bindings.outputs[0];
    void* arguments[] = {&to};
    launch_kernel(dynamic_cast<CudaRecorder&>(recorder).stream(), kernel_,
                  {clusters_, 1, size_, size_}, {32}, 0, arguments);
  }

 private:
  CUkernel kernel_;
  unsigned clusters_;
  unsigned size_;
};

// The barrier of a cluster does nothing in a launch that is none for the driver.
TEST_F(CudaCaptureTest, ClustersStayClustersOnEverySmSet) {
  const Context context(0);
  if (!context.has_clusters()) GTEST_SKIP() << "the device has no clusters";
  constexpr unsigned kClusters = 200;
  const auto compiled = compile_module(context, kTellCluster);
  const auto memory = device_->allocate(kClusters * 8 * sizeof(unsigned));
  Bindings bindings;
  bindings.outputs = {memory->data()};
  const int groups = device_->info().num_groups;
  for (const unsigned size : {2U, 4U, 8U}) {
    const TellCluster kernel(compiled->module->kernel("tell"), kClusters, size);
    const auto capture = device_->capture(kernel, bindings);
    for (const Budget budget : {Budget{}, Budget{0, 1}, Budget{groups - 1, groups}, Budget{1, 3},
                                Budget{0, groups - 1}}) {
      device_->fill(memory->data(), 0xFF, memory->size());
      testing::assemble_alone(*device_, *capture, budget)->run();
      std::vector<unsigned> told(kClusters * size);
      device_->download(told.data(), memory->data(), told.size() * sizeof(unsigned));
      EXPECT_THAT(told, ::testing::Each(size))
          << "groups [" << budget.begin << ", " << budget.end << ")";
    }
  }
}

constexpr const char* kTakeTickets = R"(
extern "C" __global__ void take(unsigned* next, unsigned* taken) {
  if (threadIdx.x == 0) atomicAdd(taken + atomicAdd(next, 1) % 64, 1);
})";

class CudaTickets : public CudaCaptureTest {
 protected:
  void SetUp() override {
    CudaCaptureTest::SetUp();
    if (IsSkipped()) return;
    context_ = std::make_unique<Context>(0);
    compiled_ = compile_module(*context_, kTakeTickets);
    taken_ = device_->allocate(64 * sizeof(unsigned));
    device_->fill(taken_->data(), 0, taken_->size());
    bindings_.outputs = {taken_->data()};
  }

  CUkernel kernel() const { return compiled_->module->kernel("take"); }
  std::unique_ptr<Capture> capture() { return device_->capture(Tickets(kernel()), bindings_); }

  void expect_all_drawn(unsigned times) {
    std::vector<unsigned> taken(64);
    device_->download(taken.data(), taken_->data(), taken_->size());
    expect_drawn(taken, times);
  }

  std::unique_ptr<Context> context_;
  std::shared_ptr<const CompiledModule> compiled_;
  std::unique_ptr<Buffer> taken_;
  Bindings bindings_;
};

TEST_F(CudaTickets, CountersAreResetBesideTheStepsThatFollow) {
  const auto one = capture();
  const auto two = capture();
  EXPECT_EQ(one->num_launches(), 1);
  EXPECT_TRUE(one->has_state());

  const auto alone = testing::assemble_alone(*device_, *one);
  for (int run = 0; run < 3; ++run) alone->run();
  expect_all_drawn(3);

  const auto three_times =
      device_->assemble(make_chain({one.get(), two.get(), one.get(), one.get()}));
  EXPECT_EQ(three_times->num_launches(), 4);
  three_times->run();
  three_times->run();
  expect_all_drawn(3 + 8);
  three_times->run_traced();
  alone->run();
  expect_all_drawn(3 + 8 + 4 + 1);
}

TEST_F(CudaTickets, CountersAreResetInEveryLaneAndSmSet) {
  std::vector<std::unique_ptr<Capture>> captures;
  for (int i = 0; i < 6; ++i) captures.push_back(capture());
  std::vector<ProgramStep> steps(6);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    steps[i].capture = captures[i].get();
    steps[i].lane = static_cast<int>(i) % 2;
    steps[i].priority = static_cast<int>(i) % 3;
    if (i % 2 == 1) steps[i].budget = {0, 1};
    if (i == 2 || i == 3) steps[i].waits_for = {static_cast<int>(i) - 2};
  }
  const auto program = device_->assemble(steps);
  for (int run = 0; run < 5; ++run) program->run();
  expect_all_drawn(30);
}

TEST_F(CudaTickets, FreeProgramsRunAsOftenAsAskedFor) {
  const auto other = device_->allocate(64 * sizeof(unsigned));
  device_->fill(other->data(), 0, other->size());
  const auto one = capture();
  bindings_.outputs = {other->data()};
  const auto two = capture();
  const auto first = testing::assemble_alone(*device_, *one);
  const auto second = testing::assemble_alone(*device_, *two);
  std::vector<Program*> programs = {first.get(), second.get()};
  const std::vector<int> repeats = {3, 5};
  EXPECT_GT(device_->run_free(programs, repeats), 0);
  expect_all_drawn(3);
  std::vector<unsigned> taken(64);
  device_->download(taken.data(), other->data(), other->size());
  expect_drawn(taken, 5);
}

TEST_F(CudaTickets, MoreCountersThanALaunchResets) {
  std::vector<std::unique_ptr<Capture>> captures;
  std::vector<const Capture*> used;
  for (int i = 0; i < kMostResets + 6; ++i) used.push_back(captures.emplace_back(capture()).get());
  const auto program = device_->assemble(make_chain(used));
  program->run();
  program->run();
  expect_all_drawn(2 * (kMostResets + 6));
}

TEST_F(CudaTickets, LargeWorkspacesKeepTheirMemorySets) {
  constexpr std::size_t kBytes = 1 << 20;
  const auto workspace = device_->allocate(kBytes);
  bindings_.workspace = workspace->data();
  const auto capture = device_->capture(Tickets(kernel(), kBytes), bindings_);
  EXPECT_EQ(capture->num_launches(), 2);
  EXPECT_FALSE(capture->has_state());
  const auto program = testing::assemble_alone(*device_, *capture);
  program->run();
  program->run();
  expect_all_drawn(2);
}

TEST_F(CudaTickets, MemorySetsBehindAKernelStayLaunches) {
  const auto workspace = device_->allocate(4);
  bindings_.workspace = workspace->data();
  const auto capture = device_->capture(Tickets(kernel(), 4, /*sets_before=*/false), bindings_);
  EXPECT_EQ(capture->num_launches(), 2);
  EXPECT_FALSE(capture->has_state());
}

}  // namespace
}  // namespace gacer::cuda
