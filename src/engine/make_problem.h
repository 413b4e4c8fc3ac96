#pragma once

#include "device/device.h"
#include "engine/placed_tenant.h"
#include "plan/problem.h"

namespace gacer {

/// The tenant as the planner sees it: nodes, data edges and the bytes that each node touches.
ProblemTenant make_problem_tenant(const PlacedTenant& tenant);

/// Profile rows of a node are found by this: its op signature, and the batch when the node cannot
/// be cut (its signature is per item, but it always runs whole).
std::string row_signature(const Graph& graph, NodeId node, bool is_splittable);

}  // namespace gacer
