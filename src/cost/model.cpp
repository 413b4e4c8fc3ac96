#include "cost/model.h"

#include <utility>

#include "cost/row_cost.h"
#include "cost/step_sim.h"
#include "plan/describe.h"
#include "plan/verify.h"

namespace gacer {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// The steps in the graph's order, with their times, or what row is missing.
Result<std::vector<SimStep>> make_sim_steps(const Problem& problem, const ProfileTable& rows,
                                            const Plan& plan, StepGraph& graph) {
  const int num_groups = problem.device.num_groups;
  std::vector<int> position(graph.steps.size());
  for (std::size_t i = 0; i < graph.order.size(); ++i) {
    position[at(graph.order[i])] = static_cast<int>(i);
  }
  std::vector<SimStep> steps(graph.steps.size());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const StepRef ref = graph.steps[at(graph.order[i])];
    const Step& step = plan.step(ref);
    const ProblemNode& node = problem.tenants[at(step.tenant)].nodes[at(step.node)];
    if (step.budget.end > num_groups || step.budget.begin < 0) {
      fail(ErrorKind::kPlan, "{}: budget {} is not on the device's {} groups", describe(plan, ref),
           describe(step.budget), num_groups);
    }
    const int width = step.budget.size(num_groups);
    const auto cost = find_row_cost(rows, node.signature, step.chunk.size(), step.variant, width,
                                    num_groups, problem.is_width_fixed);
    if (!cost) {
      return refuse("{}: no profile row for signature {}, {} items, variant '{}', width {}",
                    describe(plan, ref), node.signature, step.chunk.size(), step.variant, width);
    }
    SimStep& out = steps[i];
    out.solo_ms = cost->solo_ms;
    out.area_ms = cost->area_ms;
    out.group_begin = step.budget.is_all() ? 0 : step.budget.begin;
    out.group_end = out.group_begin + width;
    out.priority = step.priority;
    out.lane = ref.lane;
    out.launches = cost->launches;
    out.waits_for = std::move(graph.waits_for[at(graph.order[i])]);
    for (int& before : out.waits_for) before = position[at(before)];
  }
  return steps;
}

}  // namespace

Result<Timeline> simulate(const Problem& problem, const ProfileTable& rows, const Plan& plan,
                          const Contention& contention) {
  StepGraph graph = make_step_graph(problem, plan);
  auto steps = make_sim_steps(problem, rows, plan, graph);
  if (!steps) return Refusal{steps.reason()};
  // Programs that run free of each other compete for cores; the device's scheduler shares them.
  const bool is_exclusive = problem.is_width_fixed && plan.mode == LaunchMode::kMerged;
  const SimResult result = is_exclusive
                               ? simulate_exclusive(problem.device.num_groups, *steps)
                               : simulate_shared(problem.device.num_groups, *steps, contention);
  Timeline timeline;
  timeline.round_ms = result.round_ms;
  timeline.utilization = result.utilization;
  timeline.steps.reserve(graph.order.size());
  for (std::size_t i = 0; i < graph.order.size(); ++i) {
    timeline.steps.push_back(
        {graph.steps[at(graph.order[i])], result.begin_ms[i], result.end_ms[i]});
  }
  return timeline;
}

Result<double> ModelEvaluator::evaluate(const Plan& plan) {
  const Result<Timeline> timeline = simulate(problem_, rows_, plan, contention_);
  if (!timeline) return Refusal{timeline.reason()};
  return timeline->round_ms;
}

}  // namespace gacer
