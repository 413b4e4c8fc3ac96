#pragma once

#include <vector>

#include <gacer/plan.h>

#include "base/result.h"
#include "plan/problem.h"

namespace gacer {

/// A plan's steps as one graph: all edges, implied (lane order, data) and listed (sync points).
/// Steps are numbered lane by lane.
struct StepGraph {
  std::vector<StepRef> steps;
  std::vector<std::vector<int>> waits_for;  ///< ascending, transitively reduced not guaranteed
  std::vector<int> order;                   ///< a topological order that respects priorities
  int index(StepRef ref) const {
    return lane_begin[static_cast<std::size_t>(ref.lane)] + ref.index;
  }
  std::vector<int> lane_begin;
};

/// Builds the graph. Error{kPlan} when a reference is out of range or the edges have a cycle (the
/// message lists the steps of one cycle).
StepGraph make_step_graph(const Problem& problem, const Plan& plan);

/// Drops edges that follow from others.
void reduce_edges(StepGraph& graph);

/// Checks everything that makes a plan legal; throws Error{kPlan} naming lane, step and node:
/// device and tenants match the problem (fingerprints, node names and signatures); every iteration
/// of every node is covered exactly once by its chunks; only splittable nodes are cut; budgets lie
/// on the device; references resolve; no cycle; and the memory rule: two steps of a tenant whose
/// accesses overlap, one of them writing, come in the order of its nodes.
void verify_plan(const Problem& problem, const Plan& plan);

/// Adds the sync points inside tenants that the memory rule needs (policies call it last). Edges
/// point from the step whose node comes first. Error{kPlan} where the plan has two steps the other
/// way round, {kInternal} when an edge closes a cycle.
void order_memory(const Problem& problem, Plan& plan);

}  // namespace gacer
