#pragma once

#include <string>

#include <gacer/device_info.h>
#include <gacer/plan.h>

namespace gacer {

/// "lane 2 step 14 (tenant 'a', node 7 'conv1', chunk [0, 4))"; safe on any reference that exists,
/// whatever the step says.
std::string describe(const Plan& plan, StepRef ref);

/// Names for messages: "?" or "#3" when the plan has none.
std::string node_name(const Plan& plan, int tenant, int node);
std::string tenant_name(const Plan& plan, int tenant);

/// "all" or "[0, 1)".
std::string describe(const Budget& budget);

/// The cores or SMs of a budget: "all 132 SMs", "64 SMs (groups [0, 8))", "2 cores [0, 2)". Groups
/// need not share out all SMs, but whoever has all groups has all SMs.
std::string describe_units(const DeviceInfo& device, const Budget& budget);

}  // namespace gacer
