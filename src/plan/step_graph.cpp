#include <algorithm>
#include <queue>
#include <span>
#include <string>

#include "base/error.h"
#include "plan/describe.h"
#include "plan/followers.h"
#include "plan/reach.h"
#include "plan/verify.h"

namespace gacer {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

void check_step(const Problem& problem, const Plan& plan, StepRef ref) {
  const Step& step = plan.step(ref);
  const auto reject = [&](const std::string& what) {
    fail(ErrorKind::kPlan, "{}: {}", describe(plan, ref), what);
  };
  const int lane_tenant = plan.lanes[at(ref.lane)].tenant;
  if (step.tenant != lane_tenant) {
    reject(
        fmt::format("the step is of tenant {}, its lane of tenant {}", step.tenant, lane_tenant));
  }
  if (step.tenant < 0 || at(step.tenant) >= problem.tenants.size()) {
    reject(fmt::format("there is no tenant {}, there are {}", step.tenant, problem.tenants.size()));
  }
  const ProblemTenant& tenant = problem.tenants[at(step.tenant)];
  if (step.node < 0 || at(step.node) >= tenant.nodes.size()) {
    reject(fmt::format("there is no node {}, tenant '{}' has {}", step.node, tenant.identity.name,
                       tenant.nodes.size()));
  }
  if (step.iteration < 0 || step.iteration >= tenant.repeat) {
    reject(fmt::format("there is no iteration {}, tenant '{}' runs {} a round", step.iteration,
                       tenant.identity.name, tenant.repeat));
  }
  const std::int64_t batch = tenant.nodes[at(step.node)].batch;
  if (step.chunk.begin < 0 || step.chunk.end <= step.chunk.begin || step.chunk.end > batch) {
    reject(fmt::format("chunk [{}, {}) is outside the node's batch of {}", step.chunk.begin,
                       step.chunk.end, batch));
  }
}

void check_ref(const Plan& plan, StepRef ref, std::size_t sync) {
  if (ref.lane < 0 || at(ref.lane) >= plan.lanes.size() || ref.index < 0 ||
      at(ref.index) >= plan.lanes[at(ref.lane)].steps.size()) {
    fail(ErrorKind::kPlan, "sync point {} names lane {} step {}, which does not exist", sync,
         ref.lane, ref.index);
  }
}

/// Steps of every (tenant, iteration, node), found by one number.
class StepsOfNode {
 public:
  StepsOfNode(const Problem& problem, const Plan& plan, const std::vector<StepRef>& steps)
      : problem_(problem) {
    std::size_t slots = 0;
    for (const ProblemTenant& tenant : problem.tenants) {
      tenant_begin_.push_back(slots);
      slots += tenant.nodes.size() * at(tenant.repeat);
    }
    begin_.assign(slots + 1, 0);
    for (StepRef ref : steps) ++begin_[slot(plan.step(ref)) + 1];
    for (std::size_t i = 1; i <= slots; ++i) begin_[i] += begin_[i - 1];
    items_.resize(steps.size());
    std::vector<int> next(begin_.begin(), begin_.end() - 1);
    for (std::size_t i = 0; i < steps.size(); ++i) {
      items_[at(next[slot(plan.step(steps[i]))]++)] = static_cast<int>(i);
    }
  }

  std::span<const int> find(int tenant, int iteration, int node) const {
    const std::size_t s = slot(tenant, iteration, node);
    return std::span(items_).subspan(at(begin_[s]), at(begin_[s + 1] - begin_[s]));
  }

 private:
  std::size_t slot(const Step& step) const { return slot(step.tenant, step.iteration, step.node); }
  std::size_t slot(int tenant, int iteration, int node) const {
    return tenant_begin_[at(tenant)] + at(iteration) * problem_.tenants[at(tenant)].nodes.size() +
           at(node);
  }

  const Problem& problem_;
  std::vector<std::size_t> tenant_begin_;
  std::vector<int> begin_;
  std::vector<int> items_;
};

void add_data_edges(const Problem& problem, const Plan& plan, StepGraph& graph) {
  const StepsOfNode producers(problem, plan, graph.steps);
  for (std::size_t i = 0; i < graph.steps.size(); ++i) {
    const Step& step = plan.step(graph.steps[i]);
    const ProblemTenant& tenant = problem.tenants[at(step.tenant)];
    for (const DataEdge& edge : tenant.nodes[at(step.node)].inputs) {
      require(edge.from >= 0 && at(edge.from) < tenant.nodes.size(),
              "tenant '{}' node {} reads node {}", tenant.identity.name, step.node, edge.from);
      const bool is_chunkwise = edge.is_chunkwise && tenant.nodes[at(step.node)].is_splittable() &&
                                tenant.nodes[at(edge.from)].is_splittable();
      for (int producer : producers.find(step.tenant, step.iteration, edge.from)) {
        const Chunk& made = plan.step(graph.steps[at(producer)]).chunk;
        const bool overlaps =
            !is_chunkwise || (made.begin < step.chunk.end && step.chunk.begin < made.end);
        if (overlaps) graph.waits_for[i].push_back(producer);
      }
    }
  }
}

/// Rough work of a step, for ordering only. Not from the measured peaks: a plan must give the same
/// order in every process.
double rough_ms(const Problem& problem, const Step& step) {
  constexpr double kFlops = 1e11;
  constexpr double kBandwidth = 1e10;
  const ProblemNode& node = problem.tenants[at(step.tenant)].nodes[at(step.node)];
  const double share = static_cast<double>(step.chunk.size()) / static_cast<double>(node.batch);
  return 1e-3 + 1e3 * share * std::max(node.flop / kFlops, node.bytes / kBandwidth);
}

[[noreturn]] void report_cycle(const Plan& plan, const StepGraph& graph,
                               const std::vector<int>& missing) {
  // Walk backwards among steps that never became ready until one comes again.
  int step = 0;
  while (missing[at(step)] == 0) ++step;
  std::vector<int> path;
  std::vector<char> seen(graph.steps.size(), 0);
  while (!seen[at(step)]) {
    seen[at(step)] = 1;
    path.push_back(step);
    for (int before : graph.waits_for[at(step)]) {
      if (missing[at(before)] > 0) {
        step = before;
        break;
      }
    }
  }
  const auto begin = std::find(path.begin(), path.end(), step);
  std::string text;
  std::size_t shown = 0;
  for (auto it = begin; it != path.end() && shown < 8; ++it, ++shown) {
    text += describe(plan, graph.steps[at(*it)]) + " waits for ";
  }
  if (path.end() - begin > 8) text += fmt::format("… ({} steps in all) … ", path.end() - begin);
  fail(ErrorKind::kPlan, "the steps wait for each other in a circle: {}{}", text,
       describe(plan, graph.steps[at(step)]));
}

/// Kahn's algorithm. Among ready steps: higher priority first, then the one that could have started
/// earliest on an unlimited device, so that lanes advance side by side.
void set_order(const Problem& problem, const Plan& plan, StepGraph& graph) {
  const std::size_t count = graph.steps.size();
  std::vector<int> missing(count, 0);
  for (std::size_t i = 0; i < count; ++i) missing[i] = static_cast<int>(graph.waits_for[i].size());
  const Followers followers(graph.waits_for);
  struct Ready {
    int priority;
    double start_ms;
    int step;
    bool operator<(const Ready& other) const {  // the greatest comes first
      if (priority != other.priority) return priority < other.priority;
      if (start_ms != other.start_ms) return start_ms > other.start_ms;
      return step > other.step;
    }
  };
  std::vector<double> start(count, 0);
  std::priority_queue<Ready> ready;
  const auto push = [&](int step) {
    ready.push({plan.step(graph.steps[at(step)]).priority, start[at(step)], step});
  };
  for (std::size_t i = 0; i < count; ++i) {
    if (missing[i] == 0) push(static_cast<int>(i));
  }
  graph.order.clear();
  graph.order.reserve(count);
  while (!ready.empty()) {
    const int step = ready.top().step;
    ready.pop();
    graph.order.push_back(step);
    const double end = start[at(step)] + rough_ms(problem, plan.step(graph.steps[at(step)]));
    for (int next : followers.of(step)) {
      start[at(next)] = std::max(start[at(next)], end);
      if (--missing[at(next)] == 0) push(next);
    }
  }
  if (graph.order.size() < count) report_cycle(plan, graph, missing);
}

}  // namespace

StepGraph make_step_graph(const Problem& problem, const Plan& plan) {
  StepGraph graph;
  graph.steps.reserve(plan.num_steps());
  for (std::size_t lane = 0; lane < plan.lanes.size(); ++lane) {
    graph.lane_begin.push_back(static_cast<int>(graph.steps.size()));
    for (std::size_t i = 0; i < plan.lanes[lane].steps.size(); ++i) {
      const StepRef ref{static_cast<int>(lane), static_cast<int>(i)};
      check_step(problem, plan, ref);
      graph.steps.push_back(ref);
    }
  }
  graph.waits_for.resize(graph.steps.size());
  for (std::size_t i = 0; i < graph.steps.size(); ++i) {
    const Step& step = plan.step(graph.steps[i]);
    graph.waits_for[i].reserve(2 +
                               problem.tenants[at(step.tenant)].nodes[at(step.node)].inputs.size());
    if (graph.steps[i].index > 0) graph.waits_for[i].push_back(static_cast<int>(i) - 1);
  }
  add_data_edges(problem, plan, graph);
  for (std::size_t i = 0; i < plan.sync_points.size(); ++i) {
    const SyncPoint& sync = plan.sync_points[i];
    check_ref(plan, sync.before, i);
    check_ref(plan, sync.after, i);
    graph.waits_for[at(graph.index(sync.after))].push_back(graph.index(sync.before));
  }
  for (auto& before : graph.waits_for) {
    std::sort(before.begin(), before.end());
    before.erase(std::unique(before.begin(), before.end()), before.end());
  }
  set_order(problem, plan, graph);
  return graph;
}

Reach::Reach(const StepGraph& graph) : steps_(graph.steps), num_lanes_(graph.lane_begin.size()) {
  latest_.assign(graph.steps.size() * num_lanes_, -1);
  for (int step : graph.order) {
    int* mine = latest_.data() + at(step) * num_lanes_;
    for (int before : graph.waits_for[at(step)]) {
      const int* theirs = latest_.data() + at(before) * num_lanes_;
      for (std::size_t lane = 0; lane < num_lanes_; ++lane) {
        mine[lane] = std::max(mine[lane], theirs[lane]);
      }
      int& own = mine[lane_of(before)];
      own = std::max(own, index_of(before));
    }
  }
}

void reduce_edges(StepGraph& graph) {
  const Reach reach(graph);
  std::vector<int> position(graph.steps.size());
  for (std::size_t i = 0; i < graph.order.size(); ++i) {
    position[at(graph.order[i])] = static_cast<int>(i);
  }
  std::vector<int> kept;
  for (auto& before : graph.waits_for) {
    // The latest first: whatever follows from another edge follows from a later one.
    std::sort(before.begin(), before.end(),
              [&](int a, int b) { return position[at(a)] > position[at(b)]; });
    kept.clear();
    for (int candidate : before) {
      const bool follows = std::any_of(
          kept.begin(), kept.end(), [&](int other) { return reach.is_before(candidate, other); });
      if (!follows) kept.push_back(candidate);
    }
    std::sort(kept.begin(), kept.end());
    before = kept;
  }
}

}  // namespace gacer
