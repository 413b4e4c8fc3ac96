#pragma once

#include "device/device.h"
#include "engine/placed_tenant.h"
#include "plan/problem.h"

namespace gacer {

/// The tenant as the planner sees it: nodes, data edges and the bytes that each node touches.
ProblemTenant make_problem_tenant(const PlacedTenant& tenant);

}  // namespace gacer
