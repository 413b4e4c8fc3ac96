// What a GPU that fails or hangs does to its process: each case in a process of its own, which
// begins at main() anew and has a context of its own.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "backend/cuda/capture.h"
#include "backend/cuda/check.h"
#include "backend/cuda/context.h"
#include "backend/cuda/module.h"
#include "base/error.h"
#include "tests/backend/cuda/node_run.h"

namespace gacer::cuda {
namespace {

constexpr const char* kFail = R"(
extern "C" __global__ void fail(unsigned*) { *(volatile unsigned*)16 = 1; }
extern "C" __global__ void stay(unsigned* has_begun) {
  *(volatile unsigned*)has_begun = 1;
  __threadfence_system();
  const long long begin = clock64();
  while (clock64() - begin < 80000000000LL) {
  }
})";

GACER_ENTRY(driver_library, cuMemHostAlloc);

/// One launch of a kernel that has one argument.
class Single final : public Kernel {
 public:
  explicit Single(CUkernel kernel) : kernel_(kernel) {}
  void record(const Bindings& bindings, Recorder& recorder) const override {
    void* to = bindings.outputs[0];
    void* arguments[] = {&to};
    launch_kernel(dynamic_cast<CudaRecorder&>(recorder).stream(), kernel_, {1}, {1}, 0, arguments);
  }

 private:
  CUkernel kernel_;
};

class CudaFailureDeathTest : public testing::OnCudaDevice<::testing::Test> {
 protected:
  void SetUp() override {
    OnCudaDevice::SetUp();
    GTEST_FLAG_SET(death_test_style, "threadsafe");
  }

  /// A round of a kernel of kFail on 4 bytes.
  void run(const char* kernel, void* memory) {
    const Context context(0);
    const auto compiled = compile_module(context, kFail);
    Bindings bindings;
    bindings.outputs = {memory};
    const auto capture = device_->capture(Single(compiled->module->kernel(kernel)), bindings);
    testing::assemble_alone(*device_, *capture)->run();
  }
};

constexpr int kAsExpected = 7;

TEST_F(CudaFailureDeathTest, AnIllegalAccessIsAnErrorAndTheDeviceIsNotUsableAfterIt) {
  EXPECT_EXIT(
      {
        std::string said;
        const bool was_usable = device_->is_usable();
        const auto memory = device_->allocate(4);
        try {
          run("fail", memory->data());
        } catch (const Error& error) {
          if (error.kind() == ErrorKind::kDevice) said = error.what();
        }
        std::fprintf(stderr, "%s\n", said.c_str());
        std::_Exit(was_usable && !said.empty() && !device_->is_usable() ? kAsExpected : 1);
      },
      ::testing::ExitedWithCode(kAsExpected), "CUDA_ERROR_ILLEGAL_ADDRESS");
}

// The kernel takes 40 seconds or so, and says on the host that it has begun.
TEST_F(CudaFailureDeathTest, AProcessCanEndWhileItsRoundDoesNot) {
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EXIT(
      {
        void* memory = nullptr;
        const Context context(0);
        context.make_current();
        GACER_CU(cuMemHostAlloc(&memory, 4, CU_MEMHOSTALLOC_DEVICEMAP));
        auto& has_begun = *static_cast<volatile unsigned*>(memory);
        has_begun = 0;
        std::thread([this, memory] {
          run("stay", memory);
          std::_Exit(1);
        }).detach();
        while (has_begun == 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
        std::_Exit(kAsExpected);
      },
      ::testing::ExitedWithCode(kAsExpected), "");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(35));
}

}  // namespace
}  // namespace gacer::cuda
