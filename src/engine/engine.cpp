#include <algorithm>
#include <chrono>
#include <map>

#include <gacer/engine.h>

#include "base/clock.h"
#include "base/error.h"
#include "engine/core.h"
#include "engine/explain.h"
#include "engine/guard.h"
#include "engine/measure.h"
#include "engine/step_check.h"
#include "plan/verify.h"
#include "profile/recording.h"

namespace gacer {
namespace {

Engine::Port make_port(const Value& value) { return {value.name, value.dtype, value.shape}; }

/// "auto" becomes the simple policies and gacer; each name once.
std::vector<std::string> expand_policies(const std::vector<std::string>& policies) {
  std::vector<std::string> names;
  const auto add = [&](const std::string& name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  };
  for (const std::string& name : policies) {
    if (name != "auto") {
      add(name);
      continue;
    }
    for (const std::string& simple : simple_policies()) add(simple);
    add("gacer");
  }
  return names;
}

Contender search_contender(EngineCore& core, const std::string& policy,
                           const PolicyLimits& limits) {
  const auto begin = std::chrono::steady_clock::now();
  Contender contender{policy, core.search(policy, limits), 0};
  contender.search_s = seconds_since(begin);
  return contender;
}

}  // namespace

struct Engine::State {
  explicit State(EngineOptions options) : core(std::move(options)) {}
  EngineCore core;
  std::vector<std::unique_ptr<CompiledPlan>> loaded;  // goes before the core that made it
  std::map<int, StepCheck> step_checks;               // of loaded plans, before which they go

  void unload() {
    step_checks.clear();
    loaded.clear();
  }

  CompiledPlan& require_loaded(int index) const {
    if (loaded.empty()) fail(ErrorKind::kUsage, "no plan is loaded");
    if (index < 0 || static_cast<std::size_t>(index) >= loaded.size())
      fail(ErrorKind::kUsage, "there is no loaded plan {}; there are {}", index, loaded.size());
    return *loaded[static_cast<std::size_t>(index)];
  }
};

Engine::Engine(EngineOptions options) : state_(std::make_unique<State>(std::move(options))) {}
Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

const DeviceInfo& Engine::device() const { return state_->core.problem().device; }

int Engine::add_tenant(const TenantSpec& spec) {
  const int index = state_->core.add_tenant(spec);
  state_->unload();  // was made for the tenants before
  return index;
}

const std::vector<TenantInfo>& Engine::tenants() const { return state_->core.infos(); }

std::vector<Engine::Port> Engine::inputs(int tenant) const {
  const Graph& graph = state_->core.tenant(tenant).graph();
  std::vector<Port> ports;
  for (const ValueId id : graph.inputs) ports.push_back(make_port(graph.value(id)));
  return ports;
}

std::vector<Engine::Port> Engine::outputs(int tenant) const {
  const Graph& graph = state_->core.tenant(tenant).graph();
  std::vector<Port> ports;
  for (const ValueId id : graph.outputs) ports.push_back(make_port(graph.value(id)));
  return ports;
}

double Engine::profile() { return state_->core.profile(); }

void Engine::record(const std::string& path) {
  EngineCore& core = state_->core;
  core.profile();
  core.find_peaks();
  Recording recording;
  recording.device = core.problem().device;
  recording.is_width_fixed = core.problem().is_width_fixed;
  recording.concats_in_place = core.device().concats_in_place();
  recording.image_layout =
      to_string(core.device().image_layout(*parse_precision(core.options().precision)));
  recording.widths = core.device().widths();
  for (const ProblemTenant& tenant : core.problem().tenants)
    for (const ProblemNode& node : tenant.nodes)
      for (const std::int64_t items : chunk_sizes(node))
        for (const ProfileRow& row : core.rows().rows(node.signature, items))
          recording.rows.add(row);
  for (const auto& tenant : core.tenants())
    for (const Node& node : tenant->graph().nodes())
      recording.forms.insert(form_of(tenant->graph(), node));
  save_recording(recording, path);
}

Plan Engine::make_plan(const std::string& policy, const PolicyLimits& limits) {
  if (policy == "auto") return state_->core.search_guarded(limits);
  Plan plan = state_->core.search(policy, limits);
  state_->core.forget_measurements();
  return plan;
}

void Engine::load(const Plan& plan) {
  auto compiled = state_->core.compile(plan);
  state_->unload();
  state_->loaded.push_back(std::move(compiled));
  state_->core.compiler().trim();
}

int Engine::load_also(const Plan& plan) {
  state_->loaded.push_back(state_->core.compile(plan));
  return static_cast<int>(state_->loaded.size()) - 1;
}

const Plan& Engine::plan(int loaded) const { return state_->require_loaded(loaded).plan(); }

void Engine::set_input(int tenant, const std::string& name, const Tensor& value) {
  state_->core.set_input(tenant, name, value);
  state_->step_checks.clear();  // they hold what the inputs before gave
}

double Engine::run_round(int loaded) { return state_->require_loaded(loaded).run(); }

std::vector<StepDifference> Engine::check_steps(int rounds, int loaded) {
  EngineCore& core = state_->core;
  CompiledPlan& compiled = state_->require_loaded(loaded);
  auto found = state_->step_checks.find(loaded);
  if (found == state_->step_checks.end())
    found = state_->step_checks.try_emplace(loaded, core.device(), core.tenants(), compiled).first;
  return found->second.run(rounds);
}

std::int64_t Engine::allocated_bytes() const {
  return static_cast<std::int64_t>(state_->core.device().allocated_bytes());
}

LoadCosts Engine::measure_costs(int loaded) {
  constexpr int kTries = 5;
  constexpr int kRounds = 21;
  CompiledPlan& compiled = state_->require_loaded(loaded);
  std::vector<double> assemble_ms;
  for (int i = 0; i < kTries; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    const auto again = state_->core.compile(compiled.plan());
    assemble_ms.push_back(1e3 * seconds_since(begin));
  }
  std::vector<double> launch_us;
  for (int i = 0; i < kRounds; ++i) {
    compiled.run();
    launch_us.push_back(compiled.last_launch_us());
  }
  LoadCosts costs;
  costs.assemble_ms = median(assemble_ms);
  costs.launch_us = median(launch_us);
  return costs;
}

Tensor Engine::output(int tenant, const std::string& name) const {
  const PlacedTenant& placed = state_->core.tenant(tenant);
  const Graph& graph = placed.graph();
  for (const ValueId id : graph.outputs)
    if (graph.value(id).name == name) return download_value(state_->core.device(), placed, id);
  std::string names;
  for (const ValueId id : graph.outputs)
    names += fmt::format("{}'{}'", names.empty() ? "" : ", ", graph.value(id).name);
  fail(ErrorKind::kUsage, "tenant '{}' has no output '{}'; its outputs are {}", placed.info.name,
       name, names);
}

Comparison Engine::compare(const std::vector<std::string>& policies, const MeasureOptions& measure,
                           const PolicyLimits& limits) {
  EngineCore& core = state_->core;
  core.require_tenants();
  const double profile_s = core.profile();
  std::vector<Contender> contenders;
  for (const std::string& policy : expand_policies(policies))
    contenders.push_back(search_contender(core, policy, limits));
  for (Contender& contender : contenders)
    if (core.names_rejected(contender.plan))
      contender = search_contender(core, contender.name, limits);
  core.forget_measurements();
  Comparison comparison = measure_contenders(core, std::move(contenders), measure);
  comparison.profile_s = profile_s;
  core.compiler().trim();
  return comparison;
}

Comparison Engine::measure(const Plan& plan, const MeasureOptions& options) {
  EngineCore& core = state_->core;
  core.require_tenants();
  // Before minutes are spent on measuring for a plan that does not fit.
  verify_plan(core.problem(), plan);
  std::vector<Contender> contenders;
  double profile_s = 0;
  if (options.beside_simple) {
    profile_s = core.profile();
    for (const std::string& policy : simple_policies())
      if (policy != plan.policy) contenders.push_back(search_contender(core, policy, {}));
    core.forget_measurements();
  } else {
    core.load_rows();  // they tell which variants the plan must not be compared with
  }
  contenders.push_back({plan.policy, plan, 0});
  Comparison comparison = measure_contenders(core, std::move(contenders), options);
  comparison.profile_s = profile_s;
  core.compiler().trim();
  return comparison;
}

std::string Engine::explain(const Plan& plan) { return explain_plan(state_->core, plan); }

}  // namespace gacer
