#include "plan/print.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include <fmt/format.h>

#include "plan/describe.h"

namespace gacer {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

std::string print_chunk(const Problem& problem, const Step& step) {
  const auto& nodes = problem.tenants[at(step.tenant)].nodes;
  const std::int64_t batch = at(step.node) < nodes.size() ? nodes[at(step.node)].batch : 0;
  if (step.chunk.begin == 0 && step.chunk.end == batch) return "whole batch";
  return fmt::format("items [{}, {}) of {}", step.chunk.begin, step.chunk.end, batch);
}

/// What a run of steps has in common when it is folded into one line.
std::string traits(const Problem& problem, const Step& step) {
  std::string text = describe_units(problem.device, step.budget);
  text += ", " + print_chunk(problem, step);
  if (step.priority != 0) text += fmt::format(", priority {}", step.priority);
  if (step.iteration != 0) text += fmt::format(", iteration {}", step.iteration);
  return text;
}

void print_lane(const Problem& problem, const Plan& plan, std::size_t lane, std::string& out) {
  const auto& steps = plan.lanes[lane].steps;
  out += fmt::format("  lane {}: {} steps\n", lane, steps.size());
  for (std::size_t i = 0; i < steps.size();) {
    const std::string shared = traits(problem, steps[i]);
    std::size_t end = i + 1;
    while (end < steps.size() && steps[end].node == steps[end - 1].node + 1 &&
           traits(problem, steps[end]) == shared) {
      ++end;
    }
    if (end - i == 1) {
      out += fmt::format("    node {} {}: {}, {}\n", steps[i].node,
                         node_name(plan, steps[i].tenant, steps[i].node), shared, steps[i].variant);
    } else {
      std::set<std::string> variants;
      for (std::size_t j = i; j < end; ++j) variants.insert(steps[j].variant);
      out += fmt::format("    nodes {}-{}: {}, {} variant{}\n", steps[i].node, steps[end - 1].node,
                         shared, variants.size(), variants.size() == 1 ? "" : "s");
    }
    i = end;
  }
}

void print_sync_points(const Plan& plan, std::string& out) {
  std::map<int, std::vector<const SyncPoint*>> barriers;
  for (const SyncPoint& sync : plan.sync_points) barriers[sync.barrier].push_back(&sync);
  for (const auto& [barrier, edges] : barriers) {
    out += barrier >= 0 ? fmt::format("barrier {}:\n", barrier)
                        : fmt::format("{} single sync points:\n", edges.size());
    for (const SyncPoint* sync : edges) {
      out += fmt::format("  {} before {}\n", describe(plan, sync->before),
                         describe(plan, sync->after));
    }
  }
}

}  // namespace

std::string print_plan(const Problem& problem, const Plan& plan) {
  const PlanSummary summary = summarize(plan);
  std::string out = fmt::format(
      "policy {} (seed {}), {}: {} steps in {} lanes, {} chunks, {} budgets, {} priorities, {} "
      "sync "
      "points, {} barriers\n",
      plan.policy, plan.seed,
      plan.mode == LaunchMode::kMerged ? "one round program" : "free-running tenant programs",
      summary.steps, plan.lanes.size(), summary.chunks, summary.budgets, summary.priorities,
      summary.sync_points, summary.barriers);
  for (const auto& [key, note] : plan.notes) out += fmt::format("{}: {}\n", key, note);
  for (std::size_t tenant = 0; tenant < plan.tenants.size(); ++tenant) {
    const PlanTenant& identity = plan.tenants[tenant];
    out += fmt::format("tenant '{}': {} {} batch {} x{}, {} nodes\n", identity.name, identity.model,
                       identity.mode, identity.batch, identity.repeat, identity.node_names.size());
    for (std::size_t lane = 0; lane < plan.lanes.size(); ++lane) {
      if (at(plan.lanes[lane].tenant) == tenant) print_lane(problem, plan, lane, out);
    }
  }
  print_sync_points(plan, out);
  return out;
}

}  // namespace gacer
