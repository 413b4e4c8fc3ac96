#include "plan/memory.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "base/error.h"
#include "plan/describe.h"
#include "plan/reach.h"

namespace gacer {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// The bytes that one step touches through one access.
struct Touch {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  int step = 0;
  int lane = 0;
  int value = 0;
  Chunk chunk;
  bool is_batched = false;
  bool is_write = false;
};

Touch make_touch(const Plan& plan, const StepGraph& graph, int step, const ProblemNode& node,
                 const Access& access) {
  const Chunk chunk = plan.step(graph.steps[at(step)]).chunk;
  Touch touch{access.offset,
              access.offset + access.bytes,
              step,
              graph.steps[at(step)].lane,
              access.value,
              chunk,
              access.is_batched && node.is_splittable(),
              access.is_write};
  if (touch.is_batched && access.item_bytes > 0) {
    touch.begin = access.offset + chunk.begin * access.item_bytes;
    touch.end = access.offset + chunk.end * access.item_bytes;
  }
  return touch;
}

bool is_conflict(const Touch& a, const Touch& b) {
  if (!(a.is_write || b.is_write)) return false;
  // Chunks of one value own different bytes of it, however they lie.
  const bool is_apart = a.value == b.value && a.is_batched && b.is_batched &&
                        (a.chunk.end <= b.chunk.begin || b.chunk.end <= a.chunk.begin);
  return !is_apart;
}

/// True when the steps come in this order in the tenant's own sequence.
bool comes_first(const Plan& plan, StepRef a, StepRef b) {
  const auto key = [&](StepRef ref) {
    const Step& step = plan.step(ref);
    return std::tuple(step.iteration, step.node, step.chunk.begin, ref.lane, ref.index);
  };
  return key(a) < key(b);
}

/// Whether the steps of a lane are in the order of the tenant's own sequence.
bool is_in_sequence(const Plan& plan, int lane) {
  const auto count = static_cast<int>(plan.lanes[at(lane)].steps.size());
  for (int i = 1; i < count; ++i)
    if (comes_first(plan, {lane, i}, {lane, i - 1})) return false;
  return true;
}

}  // namespace

void for_each_conflict(const Problem& problem, const Plan& plan, const StepGraph& graph,
                       const std::function<void(const Conflict&)>& body) {
  std::vector<int> lanes_of(problem.tenants.size(), 0);
  std::vector<bool> has_disorder(problem.tenants.size(), false);
  std::vector<bool> in_sequence;
  for (std::size_t l = 0; l < plan.lanes.size(); ++l) {
    const std::size_t tenant = at(plan.lanes[l].tenant);
    ++lanes_of[tenant];
    in_sequence.push_back(is_in_sequence(plan, static_cast<int>(l)));
    if (!in_sequence.back()) has_disorder[tenant] = true;
  }

  std::vector<Touch> touches;
  std::vector<Touch> active;
  for (std::size_t tenant = 0; tenant < problem.tenants.size(); ++tenant) {
    if (lanes_of[tenant] < 2 && !has_disorder[tenant]) continue;
    touches.clear();
    for (std::size_t i = 0; i < graph.steps.size(); ++i) {
      const Step& step = plan.step(graph.steps[i]);
      if (at(step.tenant) != tenant) continue;
      const ProblemNode& node = problem.tenants[tenant].nodes[at(step.node)];
      for (const Access& access : node.accesses) {
        touches.push_back(make_touch(plan, graph, static_cast<int>(i), node, access));
      }
    }
    std::sort(touches.begin(), touches.end(), [](const Touch& a, const Touch& b) {
      return std::tuple(a.begin, a.step) < std::tuple(b.begin, b.step);
    });
    active.clear();
    for (const Touch& touch : touches) {
      if (touch.end <= touch.begin) continue;
      std::erase_if(active, [&](const Touch& other) { return other.end <= touch.begin; });
      for (const Touch& other : active) {
        if (other.step == touch.step) continue;
        if (other.lane == touch.lane && in_sequence[at(touch.lane)]) continue;
        if (!is_conflict(other, touch)) continue;
        const bool in_order =
            comes_first(plan, graph.steps[at(other.step)], graph.steps[at(touch.step)]);
        const int first = in_order ? other.step : touch.step;
        body({first, in_order ? touch.step : other.step, touch.begin});
      }
      active.push_back(touch);
    }
  }
}

void order_memory(const Problem& problem, Plan& plan) {
  StepGraph graph = make_step_graph(problem, plan);
  const std::size_t num_lanes = plan.lanes.size();
  // Per step and lane the latest step there that it must wait for; the lane implies earlier ones.
  std::vector<int> needed;
  {
    const Reach reach(graph);
    for_each_conflict(problem, plan, graph, [&](const Conflict& conflict) {
      const auto [before, after, offset] = conflict;
      if (reach.is_before(before, after)) return;
      if (reach.is_before(after, before))
        fail(ErrorKind::kPlan, "{} is to come after {}, but overwrites what that reads or writes",
             describe(plan, graph.steps[at(before)]), describe(plan, graph.steps[at(after)]));
      if (needed.empty()) needed.assign(graph.steps.size() * num_lanes, -1);
      int& latest = needed[at(after) * num_lanes + at(graph.steps[at(before)].lane)];
      latest = std::max(latest, graph.steps[at(before)].index);
    });
  }
  if (needed.empty()) return;

  const Plan without = plan;
  std::vector<SyncPoint> added;
  for (std::size_t step = 0; step < graph.steps.size(); ++step) {
    for (std::size_t lane = 0; lane < num_lanes; ++lane) {
      const int index = needed[step * num_lanes + lane];
      if (index >= 0) added.push_back({{static_cast<int>(lane), index}, graph.steps[step], -1});
    }
  }
  plan.sync_points.insert(plan.sync_points.end(), added.begin(), added.end());
  try {
    graph = make_step_graph(problem, plan);
  } catch (const Error& e) {
    plan = without;
    fail(ErrorKind::kInternal, "ordering memory contradicts the plan's sync points: {}",
         e.message());
  }
  // Keep those that do not follow from others.
  reduce_edges(graph);
  const auto tail =
      plan.sync_points.begin() + static_cast<std::ptrdiff_t>(without.sync_points.size());
  const auto follows = [&](const SyncPoint& sync) {
    const auto& before = graph.waits_for[at(graph.index(sync.after))];
    return !std::binary_search(before.begin(), before.end(), graph.index(sync.before));
  };
  plan.sync_points.erase(std::remove_if(tail, plan.sync_points.end(), follows),
                         plan.sync_points.end());
}

}  // namespace gacer
