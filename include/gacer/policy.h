#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace gacer {

/// When a search stops: evaluations on the cost model (before it measures), measurements on the
/// device, or time.
struct PolicyLimits {
  std::int64_t evaluations = 6000;         ///< plans tried on the model
  std::int64_t measurements = 1000;        ///< plans measured on the device
  std::chrono::milliseconds time{15'000};  ///< of one search; 0: no limit
};

struct PolicyInfo {
  std::string name;
  std::string summary;
};
/// Policies of this build, the simple ones first.
std::vector<PolicyInfo> list_policies();

}  // namespace gacer
