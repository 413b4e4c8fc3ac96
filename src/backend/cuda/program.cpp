#include "backend/cuda/program.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <tuple>

#include "backend/cuda/check.h"
#include "backend/cuda/placement.h"

namespace gacer::cuda {
namespace {

/// For members that need the context: events.
Context& made_current(Context& context) {
  context.make_current();
  return context;
}

GraphOwner make_graph() {
  CUgraph graph = nullptr;
  GACER_CU(cuGraphCreate(&graph, 0));
  return GraphOwner(graph);
}

/// What the driver says of a kernel that asks for more than its SM set has.
bool does_not_fit(CUresult result) {
  return result == CUDA_ERROR_INVALID_CLUSTER_SIZE ||
         result == CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES ||
         result == CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE ||
         result == CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
}

/// Error{kUnsupported} where the kernel does not fit its SM set.
void check_fit(CUresult result, const char* call) {
  if (does_not_fit(result))
    fail(ErrorKind::kUnsupported, "a kernel does not fit its SM set: {}: {}", call,
         describe(result));
  check(result, call);
}

CUgraphNode add_kernel(CUgraph graph, const std::vector<CUgraphNode>& after, const Launch& launch,
                       CUcontext target, CUcontext primary) {
  CUDA_KERNEL_NODE_PARAMS params = launch.kernel;
  if (params.kern == nullptr) {
    // Without a library kernel the node cannot be moved to another context.
    if (target != primary)
      fail(
          ErrorKind::kUnsupported,
          "a kernel of this variant is not loaded as a library kernel and cannot run on an SM set");
    params.func = launch.function;
  } else {
    params.func = nullptr;  // with func set, ctx would be ignored without a word
    params.ctx = target;
  }
  CUgraphNode node = nullptr;
  const CUresult result = cuGraphAddKernelNode(&node, graph, after.data(), after.size(), &params);
  const bool is_refused = result == CUDA_ERROR_INVALID_VALUE && target != primary;
  if (is_refused || does_not_fit(result))
    fail(ErrorKind::kUnsupported, "a kernel cannot be placed on its SM set: {}", describe(result));
  check(result, "cuGraphAddKernelNode");
  for (const auto& [id, value] : launch.attributes)
    check_fit(cuGraphKernelNodeSetAttribute(node, id, &value), "cuGraphKernelNodeSetAttribute");
  return node;
}

/// A node that runs after others, with plain edges.
CUgraphNode add_launch(CUgraph graph, const std::vector<CUgraphNode>& after, const Launch& launch,
                       CUcontext target, CUcontext primary) {
  CUgraphNode node = nullptr;
  switch (launch.kind) {
    case Launch::Kind::kKernel:
      return add_kernel(graph, after, launch, target, primary);
    case Launch::Kind::kMemset:
      GACER_CU(
          cuGraphAddMemsetNode(&node, graph, after.data(), after.size(), &launch.memset, primary));
      return node;
    case Launch::Kind::kMemcpy:
      GACER_CU(
          cuGraphAddMemcpyNode(&node, graph, after.data(), after.size(), &launch.memcpy, primary));
      return node;
  }
  fail(ErrorKind::kInternal, "bad launch kind");
}

bool is_plain(const CUgraphEdgeData& edge) {
  return edge.type == CU_GRAPH_DEPENDENCY_TYPE_DEFAULT && edge.from_port == 0 && edge.to_port == 0;
}

unsigned cluster_blocks_of(const Launch& launch) {
  for (const auto& [id, value] : launch.attributes)
    if (id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION) return count_blocks(value);
  return 1;
}

void add_new(const std::vector<CUgraphNode>& nodes, std::vector<CUgraphNode>& to) {
  for (CUgraphNode node : nodes)
    if (std::find(to.begin(), to.end(), node) == to.end()) to.push_back(node);
}

/// Which steps of a list come before one of them.
std::vector<bool> find_ancestors(std::span<const ProgramStep> steps, std::size_t of) {
  std::vector<bool> found(steps.size(), false);
  std::vector<std::size_t> open = {of};
  while (!open.empty()) {
    const std::size_t step = open.back();
    open.pop_back();
    for (const int before : steps[step].waits_for) {
      const auto b = static_cast<std::size_t>(before);
      if (found[b]) continue;
      found[b] = true;
      open.push_back(b);
    }
  }
  return found;
}

const CudaCapture& capture_of(const ProgramStep& step) {
  return static_cast<const CudaCapture&>(*step.capture);
}

/// The driver's priority of each step: by rank among the distinct ones, the lowest being 0.
std::vector<int> driver_priorities(const Context& context, std::span<const ProgramStep> steps) {
  std::set<int> distinct;
  for (const ProgramStep& step : steps) distinct.insert(step.priority);
  std::vector<int> priorities;
  for (const ProgramStep& step : steps)
    priorities.push_back(context.driver_priority(
        static_cast<int>(std::distance(distinct.begin(), distinct.find(step.priority)))));
  return priorities;
}

}  // namespace

CudaProgram::CudaProgram(Context& context, const Stream& stream, std::span<const ProgramStep> steps,
                         CUkernel reset)
    : context_(made_current(context)),
      stream_(stream),
      steps_(steps.begin(), steps.end()),
      priorities_(driver_priorities(context, steps)),
      reset_(reset) {
  GraphOwner graph = make_graph();
  assemble(graph.get(), /*with_events=*/false);
  exec_ = instantiate(graph.get());
  for (const ProgramStep& step : steps_) num_launches_ += step.capture->num_launches();
  verify(graph.get());
  graph_ = std::move(graph);
}

void CudaProgram::place(CUgraphNode node, std::size_t s, unsigned cluster_blocks, bool is_placed) {
  CUkernelNodeAttrValue value = {};
  value.priority = priorities_[s];
  GACER_CU(cuGraphKernelNodeSetAttribute(node, CU_LAUNCH_ATTRIBUTE_PRIORITY, &value));
  const Budget budget = steps_[s].budget;
  if (is_placed)
    placed_.push_back({static_cast<int>(s), budget, node, context_.budget_context(budget),
                       priorities_[s], cluster_blocks});
}

CUgraphNode CudaProgram::add_reset(CUgraph graph, std::span<const Reset> resets,
                                   const std::vector<CUgraphNode>& after, std::size_t s,
                                   bool is_placed) {
  ResetArgs args = args_of(resets);
  void* arguments[] = {&args};
  Launch launch;
  launch.kernel.kern = reset_;
  launch.kernel.gridDimX = static_cast<unsigned>(resets.size());
  launch.kernel.blockDimX = kResetThreads;
  launch.kernel.gridDimY = launch.kernel.gridDimZ = 1;
  launch.kernel.blockDimY = launch.kernel.blockDimZ = 1;
  launch.kernel.kernelParams = arguments;  // the node copies them
  const CUcontext target = context_.budget_context(steps_[s].budget);
  CUgraphNode node = add_kernel(graph, after, launch, target, context_.primary());
  place(node, s, /*cluster_blocks=*/1, is_placed);
  if (is_placed) {
    num_resets_ += static_cast<int>(resets.size());
    ++num_reset_launches_;
  }
  return node;
}

void CudaProgram::add_last_resets(CUgraph graph, const LastUses& last_use,
                                  const std::vector<std::vector<CUgraphNode>>& ends,
                                  bool is_placed) {
  std::map<int, std::vector<std::size_t>> users;  // by lane
  for (const auto& [capture, step] : last_use) users[steps_[step].lane].push_back(step);
  for (auto& [lane, uses] : users) {
    std::sort(uses.begin(), uses.end());
    const std::size_t last = uses.back();
    const std::vector<bool> is_before = find_ancestors(steps_, last);
    std::vector<Reset> resets;
    std::vector<CUgraphNode> after;
    for (const std::size_t step : uses) {
      const std::vector<Reset>& own = capture_of(steps_[step]).resets();
      resets.insert(resets.end(), own.begin(), own.end());
      if (!is_before[step]) add_new(ends[step], after);
    }
    for (std::size_t begin = 0; begin < resets.size(); begin += kMostResets) {
      const std::size_t count = std::min<std::size_t>(resets.size() - begin, kMostResets);
      add_reset(graph, std::span(resets).subspan(begin, count), after, last, is_placed);
    }
  }
}

void CudaProgram::assemble(CUgraph graph, bool with_events) {
  const std::vector<ProgramStep>& steps = steps_;
  LastUses last_use;

  // Nodes that end each step; a step without launches passes on what it waits for.
  std::vector<std::vector<CUgraphNode>> ends(steps.size());
  for (std::size_t s = 0; s < steps.size(); ++s) {
    const ProgramStep& step = steps[s];
    std::vector<CUgraphNode> before;
    // At a join the parent of the same lane goes first: the driver then keeps the lane together.
    std::vector<int> waits = step.waits_for;
    std::stable_partition(waits.begin(), waits.end(), [&](int earlier) {
      return steps[static_cast<std::size_t>(earlier)].lane == step.lane;
    });
    for (int earlier : waits) add_new(ends[static_cast<std::size_t>(earlier)], before);
    const CudaCapture& capture = capture_of(step);
    if (capture.has_state()) {
      const auto [used, is_first] = last_use.try_emplace(&capture, s);
      if (!is_first) {
        const std::vector<CUgraphNode>& ended = ends[used->second];
        CUgraphNode reset = add_reset(graph, capture.resets(), ended, used->second, !with_events);
        // The reset stands for what it waits for.
        const std::size_t erased = std::erase_if(before, [&](CUgraphNode node) {
          return std::find(ended.begin(), ended.end(), node) != ended.end();
        });
        before.insert(erased > 0 ? before.begin() : before.end(), reset);
      }
      used->second = s;
    }

    if (with_events) {
      CUgraphNode event = nullptr;
      GACER_CU(cuGraphAddEventRecordNode(&event, graph, before.data(), before.size(),
                                         step_events_[2 * s]->get()));
      before = {event};
    }
    const CUcontext target = context_.budget_context(step.budget);
    std::vector<CUgraphNode> nodes;
    for (const Launch& launch : capture.launches()) {
      // Hundreds of nodes a plan and thousands of plans a search: as few calls a node as can be.
      std::vector<CUgraphNode> after;
      for (const auto& [earlier, edge] : launch.waits_for)
        if (is_plain(edge)) after.push_back(nodes[static_cast<std::size_t>(earlier)]);
      CUgraphNode node = add_launch(graph, launch.waits_for.empty() ? before : after, launch,
                                    target, context_.primary());
      if (launch.kind == Launch::Kind::kKernel)
        place(node, s, cluster_blocks_of(launch), !with_events);
      for (const auto& [earlier, edge] : launch.waits_for) {
        if (is_plain(edge)) continue;
        CUgraphNode from = nodes[static_cast<std::size_t>(earlier)];
        GACER_CU(cuGraphAddDependencies(graph, &from, &node, &edge, 1));
      }
      nodes.push_back(node);
    }
    if (capture.launches().empty()) ends[s] = before;
    for (int sink : capture.sinks()) ends[s].push_back(nodes[static_cast<std::size_t>(sink)]);
    if (with_events) {
      CUgraphNode event = nullptr;
      GACER_CU(cuGraphAddEventRecordNode(&event, graph, ends[s].data(), ends[s].size(),
                                         step_events_[2 * s + 1]->get()));
      ends[s] = {event};
    }
  }
  add_last_resets(graph, last_use, ends, !with_events);
}

ExecOwner CudaProgram::instantiate(CUgraph graph) const {
  CUDA_GRAPH_INSTANTIATE_PARAMS params = {};
  params.flags = CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY;
  CUgraphExec made = nullptr;
  const CUresult result = cuGraphInstantiateWithParams(&made, graph, &params);
  ExecOwner exec(made);
  check_fit(result, "cuGraphInstantiateWithParams");
  GACER_CU(cuGraphUpload(exec.get(), stream_.get()));
  return exec;
}

void CudaProgram::launch(CUstream stream) {
  const auto before = std::chrono::steady_clock::now();
  GACER_CU(cuGraphLaunch(exec_.get(), stream));
  last_launch_us_ =
      std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - before).count();
}

double CudaProgram::run() {
  context_.make_current();
  begin_.record(stream_);
  launch(stream_.get());
  end_.record(stream_);
  stream_.synchronize();
  return end_.since(begin_);
}

void CudaProgram::run_once(CUgraph graph) {
  const ExecOwner exec = instantiate(graph);
  begin_.record(stream_);
  GACER_CU(cuGraphLaunch(exec.get(), stream_.get()));
  stream_.synchronize();
}

std::vector<PlacementRow> CudaProgram::observe_placement() {
  context_.make_current();
  // Only what is instantiated under the profiler is seen kernel by kernel.
  const auto activity = observe_kernels([&] { run_once(graph_.get()); });
  std::map<std::uint32_t, PlacementRow> rows;
  for (const PlacedLaunch& placed : placed_) {
    PlacementRow& row = rows[context_number(placed.context)];
    row.budget = placed.budget;
    ++row.expected_kernels;
  }
  for (const auto& [context, seen] : activity) {
    PlacementRow& row = rows[context];
    row.seen_kernels = seen.kernels;
    row.busy_ms = seen.busy_ms;
  }
  std::vector<PlacementRow> result;
  for (const auto& [context, row] : rows) result.push_back(row);
  std::sort(result.begin(), result.end(), [](const PlacementRow& a, const PlacementRow& b) {
    return std::tie(a.budget.begin, a.budget.end) < std::tie(b.budget.begin, b.budget.end);
  });
  return result;
}

std::vector<StepTime> CudaProgram::run_traced() {
  context_.make_current();
  step_events_.clear();
  for (std::size_t i = 0; i < 2 * steps_.size(); ++i)
    step_events_.push_back(std::make_unique<Event>());
  const GraphOwner graph = make_graph();
  assemble(graph.get(), /*with_events=*/true);
  run_once(graph.get());

  std::vector<StepTime> times;
  for (std::size_t s = 0; s < steps_.size(); ++s) {
    StepTime time;
    time.step = static_cast<int>(s);
    time.begin_ms = step_events_[2 * s]->since(begin_);
    time.end_ms = step_events_[2 * s + 1]->since(begin_);
    time.unit = steps_[s].budget.is_all() ? 0 : steps_[s].budget.begin;
    times.push_back(time);
  }
  return times;
}

void CudaProgram::verify(CUgraph graph) const {
  std::size_t num_nodes = 0;
  GACER_CU(cuGraphGetNodes(graph, nullptr, &num_nodes));
  std::vector<CUgraphNode> nodes(num_nodes);
  GACER_CU(cuGraphGetNodes(graph, nodes.data(), &num_nodes));
  int kernels = 0;
  for (CUgraphNode node : nodes) {
    CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
    GACER_CU(cuGraphNodeGetType(node, &type));
    if (type == CU_GRAPH_NODE_TYPE_KERNEL) ++kernels;
  }
  require(kernels == num_launches_ + num_reset_launches_,
          "the program's graph has {} kernels, its steps have {} and {} reset memory", kernels,
          num_launches_, num_reset_launches_);
  // One that got lost would be felt in the next round only.
  int uses = 0;
  for (const ProgramStep& step : steps_) uses += static_cast<int>(capture_of(step).resets().size());
  require(num_resets_ == uses, "the program does {} of {} resets", num_resets_, uses);
  for (const PlacedLaunch& placed : placed_) {
    CUDA_KERNEL_NODE_PARAMS params = {};
    GACER_CU(cuGraphKernelNodeGetParams(placed.node, &params));
    CUkernelNodeAttrValue value = {};
    GACER_CU(cuGraphKernelNodeGetAttribute(placed.node, CU_LAUNCH_ATTRIBUTE_PRIORITY, &value));
    require(value.priority == placed.priority, "step {}: priority {} instead of {}", placed.step,
            value.priority, placed.priority);
    if (placed.cluster_blocks > 1) {
      GACER_CU(cuGraphKernelNodeGetAttribute(placed.node, CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
                                             &value));
      require(count_blocks(value) == placed.cluster_blocks,
              "step {}: clusters of {} blocks instead of {}", placed.step, count_blocks(value),
              placed.cluster_blocks);
    }
    if (placed.context != context_.primary())
      require(params.ctx == placed.context, "step {}: the kernel is not in its SM set",
              placed.step);
  }
}

}  // namespace gacer::cuda
