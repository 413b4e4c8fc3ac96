#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/cpu/recorder.h"
#include "device/kernel.h"

namespace gacer::cpu {

/// "loops/threads=2": our own code for what oneDNN has no fast implementation of, in any layout.
inline constexpr std::string_view kLoopFamily = "loops";

/// Work on bound addresses: inputs, outputs, workspace. Constant inputs are bound by the kernel.
using LoopWork = std::function<void(const Bindings& bindings, StepTeam& team)>;

/// Base of the kernels in this folder: one variant a width.
class LoopKernel : public KernelImpl {
 public:
  std::vector<std::string> variants(const KernelCall& call, int width) const final;
  std::unique_ptr<Kernel> prepare(const KernelCall& call, const std::string& key) const final;

 protected:
  struct Plan {
    LoopWork work;
    std::size_t workspace_bytes = 0;
  };
  /// Precondition: supports(call).
  virtual Plan plan(const KernelCall& call, int num_threads) const = 0;
};

}  // namespace gacer::cpu
