#pragma once

#include <cstdint>
#include <functional>
#include <map>

#include "backend/cuda/driver.h"

namespace gacer::cuda {

/// Kernels that ran in one context.
struct ContextActivity {
  int kernels = 0;
  double busy_ms = 0;  ///< sum of their times
};

/// Runs `work` under CUPTI, which times every kernel by itself: to show where kernels run, never
/// for times to report. By context, numbered as context_number() does. One at a time in a process.
/// Error{kUnsupported} where CUPTI is missing or refuses.
std::map<std::uint32_t, ContextActivity> observe_kernels(const std::function<void()>& work);

/// The number that CUPTI gives a context.
std::uint32_t context_number(CUcontext context);

}  // namespace gacer::cuda
