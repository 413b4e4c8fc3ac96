#pragma once

#include <gacer/plan.h>

#include "device/device.h"
#include "engine/placed_tenant.h"
#include "plan/problem.h"
#include "profile/profile.h"

namespace gacer {

/// Every tenant after the other on the whole device, each node whole, in the first variant of the
/// first kernel that takes it, of those that the profile has not rejected (it may be empty). It is
/// what other plans' outputs are compared with. Error{kUnsupported} naming a node that nothing
/// runs.
Plan make_baseline_plan(const Device& device, const Problem& problem,
                        const std::vector<std::unique_ptr<PlacedTenant>>& tenants,
                        const ProfileTable& rows);

}  // namespace gacer
