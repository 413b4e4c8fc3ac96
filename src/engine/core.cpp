#include "engine/core.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "base/error.h"
#include "cost/model.h"
#include "engine/baseline.h"
#include "engine/guard.h"
#include "engine/inputs.h"
#include "engine/make_problem.h"
#include "engine/peaks.h"
#include "engine/row_advice.h"
#include "engine/step_check.h"

namespace gacer {
namespace {

/// How often a search is repeated whose plan names variants that no kernel offers any more.
constexpr int kMostStale = 3;

Precision parse_precision_option(const std::string& text) {
  const std::optional<Precision> precision = parse_precision(text);
  if (!precision)
    fail(ErrorKind::kUsage, "unknown precision '{}'; known are f32, tf32, fp16, bf16", text);
  return *precision;
}

}  // namespace

const std::vector<std::string>& simple_policies() {
  static const std::vector<std::string> names{"sequential", "streams", "partition"};
  return names;
}

bool is_simple(const std::string& policy) {
  const auto& names = simple_policies();
  return std::find(names.begin(), names.end(), policy) != names.end();
}

EngineCore::EngineCore(EngineOptions options)
    : EngineCore(options, Opened{ModelReader(options.read_ahead),
                                 open_device(options.device, options.device_options)}) {}

EngineCore::EngineCore(EngineOptions options, std::unique_ptr<Device> device)
    : EngineCore(options, Opened{ModelReader(options.read_ahead), std::move(device)}) {}

EngineCore::EngineCore(EngineOptions options, Opened opened)
    : options_(std::move(options)),
      precision_(parse_precision_option(options_.precision)),
      device_(std::move(opened.device)),
      loader_(*device_, precision_, options_.disabled_passes, std::move(opened.reader)),
      compiler_(*device_, tenants_) {
  problem_.device = device_->info();
  problem_.is_width_fixed = device_->is_width_fixed();
  if (options_.announce_descriptor >= 0) announcer_.emplace(options_.announce_descriptor);
  if (options_.round_limit.count() > 0 && options_.on_stuck)
    watch_ = std::make_shared<RoundWatch>(options_.round_limit, options_.on_stuck);
  compiler_.set_watch(watch_);
}

int EngineCore::add_tenant(const TenantSpec& spec) {
  TenantSpec named = spec;
  named.name = make_tenant_name(spec, infos_);
  try {
    return place(named, loader_.load(named));
  } catch (Error& error) {
    if (is_recorded() && error.kind() == ErrorKind::kUnsupported)
      error.add_context(
          fmt::format("the recording '{}', which may be of other models, batches or precisions; {}",
                      recording_path(),
                      advise_recording(spec.model, spec.batch, spec.dims, options_.precision)));
    throw;
  }
}

int EngineCore::add_graph(const TenantSpec& spec, Graph graph) {
  require_valid(spec);
  TenantSpec named = spec;
  named.name = make_tenant_name(spec, infos_);
  return place(named, loader_.adopt(spec.model, std::move(graph)));
}

int EngineCore::place(const TenantSpec& named, const LoadedModel& model) {
  if ((named.weight != 1 || named.latency_target_ms > 0) && !announcer_)
    warn(
        fmt::format("tenant '{}': weight and latency are kept, but searches minimise the round "
                    "alone; a priority acts",
                    named.name));
  auto placed =
      std::make_unique<PlacedTenant>(place_tenant(*device_, precision_, named, model, tenants_));
  ProblemTenant facts = make_problem_tenant(*placed);
  const auto index = static_cast<int>(tenants_.size());
  inputs_.emplace_back();
  for (const ValueId input : placed->graph().inputs)
    inputs_.back().push_back(make_random_input(
        placed->graph(), input, options_.seed * 7919 + static_cast<std::uint64_t>(index)));
  device_->fill(placed->arena->data(), 0, placed->arena->size());
  infos_.push_back(placed->info);
  problem_.tenants.push_back(std::move(facts));
  tenants_.push_back(std::move(placed));
  is_measured_out_ = false;
  checker_.reset();
  evaluator_.reset();
  contention_.reset();
  restore_inputs();
  return index;
}

const PlacedTenant& EngineCore::tenant(int index) const {
  if (index < 0 || static_cast<std::size_t>(index) >= tenants_.size())
    fail(ErrorKind::kUsage, "there is no tenant {}; there are {}", index, tenants_.size());
  return *tenants_[static_cast<std::size_t>(index)];
}

void EngineCore::require_tenants() const {
  if (tenants_.empty()) fail(ErrorKind::kUsage, "the engine has no tenants");
}

void EngineCore::report(const std::string& phase, std::int64_t done, std::int64_t total,
                        const std::string& detail) const {
  const Progress progress{phase, done, total, detail};
  if (options_.on_progress) options_.on_progress(progress);
  if (announcer_) announcer_->progress(progress);
}

void EngineCore::warn(const std::string& text) const {
  if (options_.on_warning) options_.on_warning(text);
  if (announcer_) announcer_->warning(text);
}

void EngineCore::check_cancelled(const char* what) const {
  if (options_.is_cancelled != nullptr && options_.is_cancelled->load())
    fail(ErrorKind::kInterrupted, "{} was stopped", what);
}

Plan EngineCore::plan_from_rows(const std::string& policy) {
  PolicyLimits model_only;
  model_only.measurements = 0;
  return search_once(find_policy(policy), policy, model_only);
}

bool EngineCore::reject_races(const Plan& plan) {
  const std::chrono::milliseconds limit = device_->timing().plan_repeats;
  if (limit.count() == 0) return false;
  constexpr int kRounds = 10;
  std::vector<StepDifference> found;
  try {
    const auto compiled = compile(plan);
    StepCheck check(*device_, tenants_, *compiled);
    const auto begin = std::chrono::steady_clock::now();
    do {
      check_cancelled("planning");
      report("check", 0, 0, plan.policy);
      found = check.run(kRounds);
    } while (found.empty() && std::chrono::steady_clock::now() - begin < limit);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kOutOfMemory) throw;
    warn(fmt::format("the steps of the plan of '{}' are not compared with lone ones: {}",
                     plan.policy, error.message()));
  }
  for (const StepDifference& difference : found) {
    const Step& step = plan.step(difference.step);
    const ProblemNode& node = problem_.tenants[static_cast<std::size_t>(step.tenant)]
                                  .nodes[static_cast<std::size_t>(step.node)];
    const std::string reason = fmt::format(
        "gave another result in a round of a plan than alone: {} bytes in {} rounds, "
        "each of {} bytes",
        difference.bytes, kRounds, difference.size);
    warn(fmt::format("'{}' {}; '{}' does without it", step.variant, reason, node.name));
    for (const ProfileRow& row :
         rows_.reject(node.signature, step.chunk.size(), step.variant, unsteady_text(reason)))
      if (db_) db_->store(profile_key(), row);
  }
  if (found.empty()) return false;
  if (db_) db_->flush();
  evaluator_.reset();
  return true;
}

bool EngineCore::names_rejected(const Plan& plan) const {
  for (const Lane& lane : plan.lanes)
    for (const Step& step : lane.steps) {
      const ProblemNode& node = problem_.tenants[static_cast<std::size_t>(step.tenant)]
                                    .nodes[static_cast<std::size_t>(step.node)];
      const auto rejected = rows_.rejected(node.signature, step.chunk.size());
      if (std::any_of(rejected.begin(), rejected.end(),
                      [&](const ProfileRow& row) { return row.variant == step.variant; }) &&
          !rows_.has(node.signature, step.chunk.size(), step.variant))
        return true;
    }
  return false;
}

Plan EngineCore::search(const std::string& policy, const PolicyLimits& limits) {
  require_tenants();
  const Policy& found = find_policy(policy);
  profile();
  int num_stale = 0;
  while (true) {
    Plan plan = search_once(found, policy, limits);
    if (limits.measurements == 0) return plan;
    // Rows may name variants that this build no longer has: those are measured anew.
    if (forget_stale_rows(plan)) {
      if (++num_stale > kMostStale)
        fail(ErrorKind::kDevice,
             "policy '{}': rows measured anew name variants that no kernel offers", policy);
    } else if (!reject_races(plan)) {
      return plan;
    } else {
      // Each time there is a variant less. A node's last one is not measured again.
      require_rows();
    }
    profile();
  }
}

void EngineCore::build_ahead() {
  if (!device_->compiles_variants()) return;
  std::set<std::pair<std::string, std::int64_t>> seen;
  const auto build = [&](std::size_t t, std::size_t n, std::int64_t items) {
    const ProblemNode& node = problem_.tenants[t].nodes[n];
    if (seen.emplace(node.signature, items).second)
      compiler_.prepare_ahead(static_cast<int>(t), static_cast<NodeId>(n), items,
                              promising_variants(rows_, node.signature, items));
  };
  const auto for_each_node = [&](const auto& visit) {
    for (std::size_t t = 0; t < problem_.tenants.size(); ++t)
      for (std::size_t n = 0; n < problem_.tenants[t].nodes.size(); ++n)
        visit(t, n, problem_.tenants[t].nodes[n]);
  };
  for_each_node([&](auto t, auto n, const ProblemNode& node) { build(t, n, node.batch); });
  // A search asks for chunks later.
  for_each_node([&](auto t, auto n, const ProblemNode& node) {
    for (const std::int64_t items : chunk_sizes(node)) build(t, n, items);
  });
}

Plan EngineCore::search_once(const Policy& found, const std::string& policy,
                             const PolicyLimits& limits) {
  check_cancelled("planning");
  ModelEvaluator model(problem_, rows_);
  if (!evaluator_) evaluator_.emplace(compiler_, problem_);
  evaluator_->begin_search();
  SearchContext context{problem_, rows_, model, nullptr, limits, options_.seed, {}, nullptr};
  if (limits.measurements > 0) {
    context.device = &*evaluator_;
    build_ahead();
  }
  context.on_progress = [&](const SearchProgress& progress) {
    report(progress.phase, progress.done, progress.total,
           fmt::format("best {:.3f} ms", progress.best_ms));
  };
  context.is_cancelled = options_.is_cancelled;
  Plan plan = found.make(context);
  plan.policy = policy;
  if (model.contention() != default_contention(problem_.is_width_fixed))
    contention_ = model.contention();
  if (const auto note = plan.notes.find("search"); note != plan.notes.end() && context.device)
    note->second += fmt::format(", {:.3f} of them compiling and {:.3f} in rounds",
                                evaluator_->compile_s(), evaluator_->rounds_s());
  device_->stop_building();
  compiler_.trim();
  return plan;
}

Plan EngineCore::search_guarded(const PolicyLimits& limits) {
  std::vector<Plan> simple;
  std::vector<std::unique_ptr<CompiledPlan>> compiled;
  for (const std::string& name : simple_policies()) simple.push_back(search(name, limits));
  const Plan regulated = search("gacer", limits);
  for (Plan& plan : simple)
    if (names_rejected(plan)) plan = search(plan.policy, limits);
  forget_measurements();
  for (const Plan& plan : simple) compiled.push_back(compile(plan));
  compiled.push_back(compile(regulated));
  std::vector<std::function<double()>> contenders;
  for (const auto& plan : compiled)
    contenders.emplace_back([this, &plan] {
      check_cancelled("the guard");
      return plan->run();
    });
  InterleaveOptions options;
  options.time = std::chrono::milliseconds(1000);
  const std::chrono::milliseconds turn = device_->timing().turn;
  options.turn = turn;
  const std::vector<Times> times = interleave(contenders, options);
  std::size_t best = 0;
  for (std::size_t i = 1; i < simple.size(); ++i)
    if (median(times[i].rounds) < median(times[best].rounds)) best = i;
  const GuardResult result = settle(contenders[best], contenders.back(), times[best].turns,
                                    times.back().turns, {std::chrono::milliseconds(3000), turn});
  bool is_right = true;
  if (result.regulated_won && can_check()) is_right = check(*compiled.back()).outputs_match;
  Plan plan = result.regulated_won && is_right ? regulated : simple[best];
  plan.notes["guard"] = result.to_string();
  if (!is_right) plan.notes["guard"] += "; the regulated plan's outputs did not match";
  restore_inputs();
  return plan;
}

Plan EngineCore::make_baseline() const {
  return make_baseline_plan(*device_, problem_, tenants_, rows_);
}

std::unique_ptr<CompiledPlan> EngineCore::compile(const Plan& plan) {
  require_tenants();
  return compiler_.compile(problem_, plan);
}

Checker& EngineCore::checker() {
  require(can_check(), "a simulated device computes nothing that could be checked");
  if (!checker_) {
    constexpr int kRounds = 3;
    report("check", 0, 0, "reference outputs");
    Checker checker(*device_, tenants_, options_.seed);
    {
      const auto compiled = compile(make_baseline());
      checker.set_reference(*compiled, kRounds);
    }
    for (const std::string& sentence : checker.find_overflows()) warn(sentence);
    compiler_.trim();
    checker_.emplace(std::move(checker));
  }
  return *checker_;
}

CheckResult EngineCore::check(CompiledPlan& compiled) {
  const CheckResult result = checker().check(compiled);
  if (result.outputs_match || checker().has_conditioning()) return result;
  {
    const auto baseline = compile(make_baseline());
    for (const std::string& sentence : checker().measure_conditioning(*baseline)) warn(sentence);
  }
  compiler_.trim();
  return checker().check(compiled);
}

void EngineCore::find_peaks() {
  DeviceInfo& device = problem_.device;
  if (is_recorded() || (device.peak_flops > 0 && device.peak_bandwidth > 0) ||
      std::exchange(has_measured_peaks_, true))
    return;
  const RoundWatch::Round watched(watch_.get(), [] { return "the measurement of its peaks"; });
  Peaks peaks;
  try {
    peaks = measure_peaks(*device_, precision_);
  } catch (const Error& error) {
    // What was measured before is worth more than its bounds.
    if (error.kind() != ErrorKind::kDevice) throw;
    warn(fmt::format("the device's peaks are unknown: {}", error.message()));
  }
  if (device.peak_flops == 0) device.peak_flops = peaks.flops;
  if (device.peak_bandwidth == 0) device.peak_bandwidth = peaks.bandwidth;
}

std::optional<double> EngineCore::predict(const Plan& plan) {
  ModelEvaluator model(problem_, rows_);
  if (contention_) model.set_contention(*contention_);
  const Result<double> ms = model.evaluate(plan);
  return ms ? std::optional<double>(*ms) : std::nullopt;
}

void EngineCore::set_input(int index, const std::string& name, const Tensor& value) {
  const PlacedTenant& placed = tenant(index);
  const Graph& graph = placed.graph();
  for (std::size_t i = 0; i < graph.inputs.size(); ++i) {
    const Value& input = graph.value(graph.inputs[i]);
    if (input.name != name) continue;
    if (value.empty() || value.dtype() != input.dtype || value.shape() != input.shape)
      fail(ErrorKind::kUsage, "input '{}' of tenant '{}' is {} {}, the value given is {}", name,
           placed.info.name, to_string(input.dtype), input.shape.to_string(),
           value.empty()
               ? "empty"
               : fmt::format("{} {}", to_string(value.dtype()), value.shape().to_string()));
    inputs_[static_cast<std::size_t>(index)][i] = value;
    upload_input(*device_, placed, graph.inputs[i], value);
    return;
  }
  std::string names;
  for (const ValueId input : graph.inputs)
    names += fmt::format("{}'{}'", names.empty() ? "" : ", ", graph.value(input).name);
  fail(ErrorKind::kUsage, "tenant '{}' has no input '{}'; its inputs are {}", placed.info.name,
       name, names);
}

void EngineCore::restore_inputs() { upload_inputs(*device_, tenants_, inputs_); }

}  // namespace gacer
