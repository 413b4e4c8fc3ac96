#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include <gtest/gtest.h>

#include "backend/cuda/capture.h"
#include "backend/cuda/check.h"
#include "backend/cuda/module.h"

namespace gacer::cuda {

GACER_ENTRY(driver_library, cuMemsetD32Async);

constexpr unsigned kTickets = 8;

/// Draws tickets 0 to 7 from a counter in its workspace, which it sets before, or behind, as
/// persistent kernels of libraries do. The kernel: take(unsigned* next, unsigned taken[64]).
class Tickets final : public Kernel {
 public:
  explicit Tickets(CUkernel kernel, std::size_t workspace_bytes = 4, bool sets_before = true)
      : kernel_(kernel), workspace_bytes_(workspace_bytes), sets_before_(sets_before) {}
  std::size_t workspace_bytes() const override { return workspace_bytes_; }
  void record(const Bindings& bindings, Recorder& recorder) const override {
    const CUstream stream = dynamic_cast<CudaRecorder&>(recorder).stream();
    void* next = bindings.workspace;
    void* taken = bindings.outputs[0];
    void* arguments[] = {&next, &taken};
    const auto set = [&] {
      check(cuMemsetD32Async(reinterpret_cast<CUdeviceptr>(next), 0, 1, stream),
            "cuMemsetD32Async");
    };
    if (sets_before_) set();
    launch_kernel(stream, kernel_, {kTickets}, {32}, 0, arguments);
    if (!sets_before_) set();
  }

 private:
  CUkernel kernel_;
  std::size_t workspace_bytes_;
  bool sets_before_;
};

/// Each ticket was drawn so often, and no other.
inline void expect_drawn(const std::vector<unsigned>& taken, unsigned times) {
  std::vector<unsigned> expected(64, 0);
  std::fill_n(expected.begin(), kTickets, times);
  EXPECT_EQ(taken, expected);
}

/// Steps that wait for each other.
inline std::vector<ProgramStep> make_chain(const std::vector<const Capture*>& captures) {
  std::vector<ProgramStep> steps(captures.size());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    steps[i].capture = captures[i];
    if (i > 0) steps[i].waits_for = {static_cast<int>(i) - 1};
  }
  return steps;
}

}  // namespace gacer::cuda
