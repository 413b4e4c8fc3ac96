#include "engine/compile.h"

#include <algorithm>

#include "base/error.h"
#include "plan/verify.h"

namespace gacer {
namespace {

/// Only steps of one tenant, with their edges.
std::vector<ProgramStep> steps_of_tenant(const CompiledPlan& compiled, int tenant) {
  std::vector<ProgramStep> result;
  std::vector<int> place(compiled.steps().size(), -1);
  for (std::size_t i = 0; i < compiled.steps().size(); ++i) {
    if (compiled.plan().step(compiled.refs()[i]).tenant != tenant) continue;
    ProgramStep step = compiled.steps()[i];
    for (int& before : step.waits_for) {
      before = place[static_cast<std::size_t>(before)];
      if (before < 0)
        fail(ErrorKind::kPlan,
             "a free-running plan makes a step of tenant {} wait for another tenant", tenant);
    }
    place[i] = static_cast<int>(result.size());
    result.push_back(std::move(step));
  }
  return result;
}

int count_launches(std::span<const ProgramStep> steps) {
  int count = 0;
  for (const ProgramStep& step : steps) count += step.capture->num_launches();
  return count;
}

std::unique_ptr<Program> assemble_counted(Device& device, std::span<const ProgramStep> steps) {
  std::unique_ptr<Program> program = device.assemble(steps);
  // A launch that got lost would look like a speed-up.
  require(program->num_launches() == count_launches(steps),
          "the program has {} launches, its steps have {}", program->num_launches(),
          count_launches(steps));
  return program;
}

std::string describe(const Problem& problem, const Step& step) {
  const ProblemTenant& tenant = problem.tenants[static_cast<std::size_t>(step.tenant)];
  return fmt::format("tenant '{}', node '{}', items [{}, {}), variant '{}'", tenant.identity.name,
                     tenant.nodes[static_cast<std::size_t>(step.node)].name, step.chunk.begin,
                     step.chunk.end, step.variant);
}

}  // namespace

std::string CompiledPlan::describe_failure() const {
  const std::string what = plan_.policy.empty()
                               ? "a round of a plan"
                               : fmt::format("a round of a plan of policy '{}'", plan_.policy);
  if (failed_plan_path_.empty()) return what;
  try {
    save_plan(plan_, failed_plan_path_);
    return fmt::format("{}, kept in '{}'", what, failed_plan_path_);
  } catch (const Error& error) {
    return fmt::format("{}, which could not be kept: {}", what, error.message());
  }
}

template <typename Run>
auto CompiledPlan::explain_failure_of(const Run& run) {
  const RoundWatch::Round watched = watch_round();
  try {
    return run();
  } catch (Error& error) {
    if (error.kind() == ErrorKind::kDevice) error.add_context(describe_failure());
    throw;
  }
}

double CompiledPlan::run() {
  return explain_failure_of([&] {
    if (programs_.size() == 1) return programs_[0]->run();
    std::vector<Program*> programs;
    for (const auto& program : programs_) programs.push_back(program.get());
    const std::vector<int> once(programs.size(), 1);
    return device_->run_free(programs, once);
  });
}

Program& CompiledPlan::whole() {
  if (programs_.size() == 1) return *programs_[0];
  if (!traced_) traced_ = device_->assemble(steps_);
  return *traced_;
}

std::vector<StepTime> CompiledPlan::run_traced() {
  return explain_failure_of([&] { return whole().run_traced(); });
}

std::vector<PlacementRow> CompiledPlan::observe_placement() {
  return explain_failure_of([&] { return whole().observe_placement(); });
}

double CompiledPlan::last_launch_us() const {
  double sum = 0;
  for (const auto& program : programs_) sum += program->last_launch_us();
  return sum;
}

Result<const KernelImpl*> find_variant(const Device& device, const KernelCall& call,
                                       const std::string& variant, int width) {
  std::vector<int> widths = device.widths();
  std::stable_partition(widths.begin(), widths.end(), [&](int w) { return w == width; });
  for (const KernelImpl* impl : device.kernels()) {
    const std::optional<bool> known = impl->knows(variant);
    if (known == false || !impl->supports(call)) continue;
    if (known == true) return impl;
    for (const int w : widths) {
      const std::vector<std::string> keys = impl->variants(call, w);
      if (std::find(keys.begin(), keys.end(), variant) != keys.end()) return impl;
    }
  }
  return refuse("no kernel of {} offers the variant '{}' here", device.info().name, variant);
}

Bindings bind_step(const PlacedTenant& tenant, NodeId node_id, std::int64_t first_item,
                   const Kernel& kernel, ConstantStore& constants, void* workspace) {
  const Graph& graph = tenant.graph();
  const Node& node = graph.node(node_id);
  const auto address = [&](ValueId id) -> void* {
    const Value& storage = graph.value(graph.root_of(id));
    std::byte* base = storage.constant
                          ? static_cast<std::byte*>(constants.address(*storage.constant))
                          : tenant.storage(id);
    return base == nullptr ? nullptr : base + chunk_offset_bytes(graph, id, first_item);
  };
  Bindings bindings;
  bindings.workspace = workspace;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const ValueId id = node.inputs[i];
    const bool is_used = id != kNone && (!graph.is_constant(graph.root_of(id)) ||
                                         kernel.reads_input(static_cast<int>(i)));
    bindings.inputs.push_back(is_used ? address(id) : nullptr);
  }
  for (const ValueId id : node.outputs)
    bindings.outputs.push_back(id == kNone ? nullptr : address(id));
  return bindings;
}

std::shared_ptr<const Kernel> Compiler::kernel_of(const Problem& problem, const Step& step) {
  const PlacedTenant& tenant = *tenants_[static_cast<std::size_t>(step.tenant)];
  const auto range = tenant.chunk_range(step.node, step.chunk);
  // Chunks of one size are the same work on other addresses.
  const KernelKey key{tenant.model.key, step.node, range ? step.chunk.size() : 0, step.variant};
  std::shared_ptr<const Kernel>& kernel = kernels_[key];
  if (kernel) return kernel;
  try {
    const KernelCall call = make_call(tenant.graph(), step.node, tenant.precision, range);
    const Result<const KernelImpl*> impl = impl_of(key, step, call);
    if (!impl)
      fail(ErrorKind::kPlan, "{}; the plan was made for other libraries or another device",
           impl.reason());
    kernel = (*impl)->prepare(call, step.variant);
  } catch (Error& error) {
    error.add_context(describe(problem, step));
    throw;
  }
  return kernel;
}

Result<const KernelImpl*> Compiler::impl_of(const KernelKey& key, const Step& step,
                                            const KernelCall& call) {
  if (const auto known = impls_.find(key); known != impls_.end()) return known->second;
  const int width = step.budget.size(device_.info().num_groups);
  Result<const KernelImpl*> impl = find_variant(device_, call, step.variant, width);
  if (impl) impls_.emplace(key, *impl);
  return impl;
}

template <typename Visit>
void Compiler::for_each_new(const Plan& plan, const Visit& visit) {
  for (int l = 0; l < static_cast<int>(plan.lanes.size()); ++l) {
    const auto& steps = plan.lanes[static_cast<std::size_t>(l)].steps;
    for (int s = 0; s < static_cast<int>(steps.size()); ++s) {
      const Step& step = steps[static_cast<std::size_t>(s)];
      const PlacedTenant& tenant = *tenants_[static_cast<std::size_t>(step.tenant)];
      const auto range = tenant.chunk_range(step.node, step.chunk);
      const KernelKey key{tenant.model.key, step.node, range ? step.chunk.size() : 0, step.variant};
      const auto made = kernels_.find(key);
      if (made != kernels_.end() && made->second) continue;
      const KernelCall call = make_call(tenant.graph(), step.node, tenant.precision, range);
      visit(step, StepRef{l, s}, call, impl_of(key, step, call));
    }
  }
}

void Compiler::prepare_ahead(const Plan& plan) {
  for_each_new(plan, [](const Step& step, StepRef, const KernelCall& call, const auto& impl) {
    // A variant that nobody knows is refused when it is built.
    if (impl) (*impl)->prepare_ahead(call, {step.variant});
  });
}

void Compiler::prepare_ahead(int tenant, NodeId node, std::int64_t items,
                             const std::vector<std::string>& variants) {
  const PlacedTenant& placed = *tenants_[static_cast<std::size_t>(tenant)];
  const KernelCall call =
      make_call(placed.graph(), node, placed.precision, placed.chunk_range(node, {0, items}));
  for (const KernelImpl* impl : device_.kernels()) {
    std::vector<std::string> own;
    for (const std::string& variant : variants)
      if (impl->knows(variant) == true) own.push_back(variant);
    if (!own.empty() && impl->supports(call)) impl->prepare_ahead(call, own);
  }
}

std::vector<StepRef> Compiler::find_unknown(const Problem& problem, const Plan& plan) {
  prepare_ahead(plan);
  std::vector<StepRef> unknown;
  for_each_new(plan, [&](const Step& step, StepRef ref, const KernelCall&, const auto& impl) {
    try {
      if (!impl)
        unknown.push_back(ref);
      else
        kernel_of(problem, step);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kUnsupported) throw;
      unknown.push_back(ref);
    }
  });
  return unknown;
}

std::shared_ptr<const Capture> Compiler::capture_of(const Step& step,
                                                    const std::shared_ptr<const Kernel>& kernel,
                                                    void* workspace) {
  const PlacedTenant& tenant = *tenants_[static_cast<std::size_t>(step.tenant)];
  std::shared_ptr<const Capture>& capture = captures_[{step.tenant, step.node, step.chunk.begin,
                                                       step.chunk.end, step.variant, workspace}];
  if (!capture)
    capture = device_.capture(
        *kernel, bind_step(tenant, step.node, step.chunk.begin, *kernel, constants_, workspace));
  return capture;
}

std::vector<std::shared_ptr<Buffer>> Compiler::workspaces_of(
    const Plan& plan, const std::vector<std::size_t>& bytes) {
  std::vector<std::shared_ptr<Buffer>> result;
  std::map<int, int> lanes_of_tenant;
  for (std::size_t i = 0; i < plan.lanes.size(); ++i) {
    const int tenant = plan.lanes[i].tenant;
    const int lane = lanes_of_tenant[tenant]++;
    if (bytes[i] == 0) {
      result.push_back(nullptr);
      continue;
    }
    std::shared_ptr<Buffer>& slot = workspaces_[{tenant, lane}];
    if (!slot || slot->size() < bytes[i]) slot = device_.allocate(bytes[i]);
    result.push_back(slot);
  }
  return result;
}

void Compiler::assemble(CompiledPlan& compiled) {
  const Plan& plan = compiled.plan();
  if (plan.mode == LaunchMode::kMerged) {
    compiled.programs_.push_back(assemble_counted(device_, compiled.steps()));
  } else {
    for (std::size_t tenant = 0; tenant < plan.tenants.size(); ++tenant)
      compiled.programs_.push_back(
          assemble_counted(device_, steps_of_tenant(compiled, static_cast<int>(tenant))));
  }
  for (const auto& program : compiled.programs_) compiled.num_launches_ += program->num_launches();
}

std::unique_ptr<CompiledPlan> Compiler::compile(const Problem& problem, const Plan& plan) {
  verify_plan(problem, plan);
  StepGraph graph = make_step_graph(problem, plan);
  reduce_edges(graph);

  auto compiled = std::unique_ptr<CompiledPlan>(new CompiledPlan);
  compiled->device_ = &device_;
  compiled->failed_plan_path_ = failed_plan_path_;
  compiled->watch_ = watch_;
  compiled->plan_ = plan;
  prepare_ahead(plan);
  std::vector<std::size_t> workspace_bytes(plan.lanes.size(), 0);
  for (const int index : graph.order) {
    const StepRef ref = graph.steps[static_cast<std::size_t>(index)];
    compiled->refs_.push_back(ref);
    compiled->kernels_.push_back(kernel_of(problem, plan.step(ref)));
    auto& bytes = workspace_bytes[static_cast<std::size_t>(ref.lane)];
    bytes = std::max(bytes, compiled->kernels_.back()->workspace_bytes());
  }
  const auto workspaces = workspaces_of(plan, workspace_bytes);

  std::vector<int> place(graph.steps.size(), -1);
  for (std::size_t i = 0; i < graph.order.size(); ++i) {
    const auto index = static_cast<std::size_t>(graph.order[i]);
    const StepRef ref = compiled->refs_[i];
    const Step& step = plan.step(ref);
    const std::shared_ptr<Buffer>& workspace = workspaces[static_cast<std::size_t>(ref.lane)];
    const bool needs_workspace = compiled->kernels_[i]->workspace_bytes() > 0;
    compiled->captures_.push_back(
        capture_of(step, compiled->kernels_[i], needs_workspace ? workspace->data() : nullptr));
    ProgramStep program_step;
    program_step.capture = compiled->captures_.back().get();
    program_step.budget = step.budget;
    program_step.priority = step.priority;
    program_step.lane = ref.lane;
    for (const int before : graph.waits_for[index])
      program_step.waits_for.push_back(place[static_cast<std::size_t>(before)]);
    place[index] = static_cast<int>(i);
    compiled->steps_.push_back(std::move(program_step));
  }
  for (const auto& workspace : workspaces)
    if (workspace) compiled->workspaces_.push_back(workspace);
  assemble(*compiled);
  return compiled;
}

void Compiler::trim() {
  std::erase_if(captures_, [](const auto& entry) { return entry.second.use_count() <= 1; });
  std::erase_if(kernels_, [](const auto& entry) { return entry.second.use_count() <= 1; });
  std::erase_if(workspaces_, [](const auto& entry) { return entry.second.use_count() <= 1; });
}

}  // namespace gacer
