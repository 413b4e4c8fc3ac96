#include "engine/measure.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <fstream>

#include "base/clock.h"
#include "base/error.h"
#include "cost/model.h"
#include "cost/row_cost.h"
#include "engine/guard.h"

namespace gacer {
namespace {

/// Rounds with timelines: fewer where they are long.
constexpr int kTracedRounds = 7;
constexpr int kFewTracedRounds = 3;
constexpr double kLongRoundMs = 80;

/// One contender on its way through checking and measuring.
struct Entry {
  std::unique_ptr<CompiledPlan> compiled;
  PolicyResult result;
  Times times;
  std::vector<std::vector<StepTime>> traces;
};

double round_end(const std::vector<StepTime>& trace) {
  double end = 0;
  for (const StepTime& time : trace) end = std::max(end, time.end_ms);
  return end;
}

/// Share of the device's area that the steps of a traced round fill.
double traced_utilization(const CompiledPlan& compiled, const std::vector<StepTime>& trace,
                          int num_groups) {
  double area = 0;
  for (const StepTime& time : trace)
    area += (time.end_ms - time.begin_ms) *
            compiled.steps()[static_cast<std::size_t>(time.step)].budget.size(num_groups);
  const double total = round_end(trace) * num_groups;
  return total > 0 ? std::min(1.0, area / total) : 0;
}

/// The same from profile rows, for devices where steps share units and overlap.
double profiled_utilization(const Problem& problem, const ProfileTable& rows, const Plan& plan,
                            double round_ms) {
  double area = 0;
  for (const Lane& lane : plan.lanes) {
    for (const Step& step : lane.steps) {
      const ProblemNode& node = problem.tenants[static_cast<std::size_t>(step.tenant)]
                                    .nodes[static_cast<std::size_t>(step.node)];
      const int width = step.budget.size(problem.device.num_groups);
      if (const auto cost = find_row_cost(rows, node.signature, step.chunk.size(), step.variant,
                                          width, problem.device.num_groups, problem.is_width_fixed))
        area += cost->area_ms;
    }
  }
  return round_ms > 0 ? std::min(1.0, area / round_ms) : 0;
}

std::vector<TenantResult> tenant_results(const EngineCore& core, const Entry& entry) {
  std::vector<TenantResult> results;
  for (std::size_t t = 0; t < core.tenants().size(); ++t) {
    // Events between the steps make traced rounds longer: their ends are put to the scale of a
    // round without.
    std::vector<double> ends;
    for (const auto& trace : entry.traces) {
      const double traced_ms = round_end(trace);
      const double scale = traced_ms > entry.result.median_ms && entry.result.median_ms > 0
                               ? entry.result.median_ms / traced_ms
                               : 1;
      double end = 0;
      for (const StepTime& time : trace) {
        const StepRef ref = entry.compiled->refs()[static_cast<std::size_t>(time.step)];
        if (entry.compiled->plan().step(ref).tenant == static_cast<int>(t))
          end = std::max(end, time.end_ms);
      }
      ends.push_back(end * scale);
    }
    TenantResult result;
    const PlacedTenant& tenant = *core.tenants()[t];
    result.name = tenant.info.name;
    result.latency_median_ms = median(ends);
    result.latency_p95_ms = percentile(ends, 0.95);
    if (entry.result.median_ms > 0)
      result.items_per_s = 1000.0 * static_cast<double>(tenant.spec.batch) * tenant.spec.repeat /
                           entry.result.median_ms;
    results.push_back(std::move(result));
  }
  return results;
}

std::vector<PolicyResult::Span> make_timeline(const EngineCore& core, const CompiledPlan& compiled,
                                              const std::vector<StepTime>& trace) {
  const DeviceInfo& device = core.problem().device;
  std::vector<PolicyResult::Span> spans;
  for (const StepTime& time : trace) {
    const ProgramStep& program_step = compiled.steps()[static_cast<std::size_t>(time.step)];
    const Step& step = compiled.plan().step(compiled.refs()[static_cast<std::size_t>(time.step)]);
    PolicyResult::Span span;
    span.tenant = step.tenant;
    span.node = core.problem()
                    .tenants[static_cast<std::size_t>(step.tenant)]
                    .nodes[static_cast<std::size_t>(step.node)]
                    .name;
    span.variant = step.variant;
    span.unit_begin = time.unit;
    span.unit_end =
        std::min(device.num_groups, time.unit + program_step.budget.size(device.num_groups));
    span.chunk = step.chunk;
    span.begin_ms = time.begin_ms;
    span.end_ms = time.end_ms;
    spans.push_back(std::move(span));
  }
  std::stable_sort(spans.begin(), spans.end(),
                   [](const auto& a, const auto& b) { return a.begin_ms < b.begin_ms; });
  return spans;
}

void summarize_times(const EngineCore& core, Entry& entry) {
  PolicyResult& result = entry.result;
  result.rounds = static_cast<int>(entry.times.rounds.size());
  result.min_ms = *std::min_element(entry.times.rounds.begin(), entry.times.rounds.end());
  result.median_ms = median(entry.times.rounds);
  result.p95_ms = percentile(entry.times.rounds, 0.95);
  result.tenants = tenant_results(core, entry);
  // The round that is most like all of them.
  std::sort(entry.traces.begin(), entry.traces.end(),
            [](const auto& a, const auto& b) { return round_end(a) < round_end(b); });
  const auto& trace = entry.traces[entry.traces.size() / 2];
  result.timeline = make_timeline(core, *entry.compiled, trace);
  result.utilization =
      core.problem().is_width_fixed
          ? traced_utilization(*entry.compiled, trace, core.problem().device.num_groups)
          : profiled_utilization(core.problem(), core.rows(), result.plan, result.median_ms);
  result.residue = 1 - result.utilization;
}

void check_entries(EngineCore& core, std::vector<Entry>& entries) {
  std::int64_t done = 0;
  for (Entry& entry : entries) {
    core.report("check", done++, static_cast<std::int64_t>(entries.size()), entry.result.policy);
    core.check_cancelled("checking");
    const CheckResult checked = core.check(*entry.compiled);
    entry.result.is_checked = true;
    entry.result.outputs_match = checked.outputs_match;
    entry.result.max_rel_error = checked.max_rel_error;
    if (!checked.outputs_match) entry.result.plan.notes["mismatch"] = checked.worst;
  }
  core.report("check", done, done);
  core.restore_inputs();
}

void time_entries(EngineCore& core, std::vector<Entry>& entries, const MeasureOptions& options) {
  std::vector<std::function<double()>> contenders;
  std::int64_t done = 0;
  for (Entry& entry : entries)
    contenders.emplace_back([&core, &entry, &done] {
      core.check_cancelled("measuring");
      core.report("measure", done++, 0, entry.result.policy);
      return entry.compiled->run();
    });
  InterleaveOptions interleaved;
  interleaved.min_rounds = std::max(1, options.min_rounds);
  interleaved.time = options.time;
  interleaved.turn = core.device().timing().turn;
  std::vector<Times> times = interleave(contenders, interleaved);
  for (std::size_t i = 0; i < entries.size(); ++i) entries[i].times = std::move(times[i]);
  const bool is_long = !entries.empty() && median(entries[0].times.rounds) > kLongRoundMs;
  for (int round = 0; round < (is_long ? kFewTracedRounds : kTracedRounds); ++round) {
    core.check_cancelled("measuring");
    for (Entry& entry : entries) entry.traces.push_back(entry.compiled->run_traced());
  }
  core.report("measure", done, done);
}

bool may_be_chosen(const Entry& entry) {
  return !entry.result.is_checked || entry.result.outputs_match;
}

/// The best simple plan, or the best regulated one when that is really faster.
void choose(const EngineCore& core, std::chrono::milliseconds settle_time,
            std::vector<Entry>& entries, Comparison& comparison) {
  Entry* simple = nullptr;
  Entry* regulated = nullptr;
  for (Entry& entry : entries) {
    if (!may_be_chosen(entry)) continue;
    Entry*& best = is_simple(entry.result.policy) ? simple : regulated;
    if (best == nullptr || entry.result.median_ms < best->result.median_ms) best = &entry;
  }
  if (simple != nullptr) comparison.best_simple = simple->result.policy;
  if (simple != nullptr && regulated != nullptr) {
    const auto run = [&](const Entry& entry) {
      core.check_cancelled("the guard");
      core.report("guard", 0, 0, entry.result.policy);
      return entry.compiled->run();
    };
    const GuardResult result =
        settle([&] { return run(*simple); }, [&] { return run(*regulated); }, simple->times.turns,
               regulated->times.turns, {settle_time, core.device().timing().turn});
    comparison.regulated_won = result.regulated_won;
    comparison.guard_gain_ms = result.gain_ms;
    if (std::isfinite(result.noise_ms)) comparison.guard_noise_ms = result.noise_ms;
    comparison.guard_turns = result.turns;
    regulated->result.plan.notes["guard"] = result.to_string();
  }
  const Entry* chosen = simple == nullptr || comparison.regulated_won ? regulated : simple;
  if (chosen != nullptr) comparison.chosen = chosen->result.policy;
}

std::vector<Placement> observe_placement(const EngineCore& core, const std::string& policy,
                                         std::vector<Entry>& entries) {
  const DeviceInfo& device = core.problem().device;
  std::vector<Placement> placement;
  for (Entry& entry : entries) {
    if (entry.result.policy != policy) continue;
    for (const PlacementRow& row : entry.compiled->observe_placement())
      placement.push_back(
          {row.budget,
           row.budget.is_all() ? device.num_units : row.budget.size(0) * device.units_per_group,
           row.expected_kernels, row.seen_kernels, row.busy_ms});
  }
  return placement;
}

void set_bounds(EngineCore& core, Comparison& comparison) {
  if (core.count_nodes_without_rows() > 0) return;  // a replayed plan has no rows
  core.find_peaks();
  comparison.device = core.problem().device;
  const Bounds bounds = compute_bounds(core.problem(), core.rows());
  comparison.critical_path_ms = bounds.critical_path_ms;
  comparison.flop_ms = bounds.flop_ms;
  comparison.bytes_ms = bounds.bytes_ms;
  comparison.area_estimate_ms = bounds.area_estimate_ms;
}

}  // namespace

CpuTimes read_cpu_times() {
  CpuTimes times;
  std::ifstream file("/proc/stat");
  std::string label;
  file >> label;
  double ticks = 0;
  for (int field = 0; field < 8; ++field) {
    double value = 0;
    if (!(file >> value)) return times;
    // user, nice, system, idle, iowait, irq, softirq, steal
    if (field != 3 && field != 4) ticks += value;
  }
  timespec own{};
  if (label != "cpu" || clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own) != 0) return times;
  times.all_s = ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
  times.own_s = static_cast<double>(own.tv_sec) + static_cast<double>(own.tv_nsec) * 1e-9;
  times.is_known = true;
  return times;
}

Comparison measure_contenders(EngineCore& core, std::vector<Contender> contenders,
                              const MeasureOptions& options) {
  if (contenders.empty()) fail(ErrorKind::kUsage, "there is no plan to measure");
  std::vector<Entry> entries;
  for (Contender& contender : contenders) {
    Entry entry;
    entry.compiled = core.compile(contender.plan);
    entry.result.policy = contender.name;
    entry.result.plan = std::move(contender.plan);
    entry.result.search_s = contender.search_s;
    entry.result.launches = entry.compiled->num_launches();
    entry.result.summary = summarize(entry.result.plan);
    entry.result.predicted_ms = core.predict(entry.result.plan).value_or(0);
    entries.push_back(std::move(entry));
  }
  if (options.check && core.can_check()) check_entries(core, entries);

  Comparison comparison;
  const CpuTimes before = read_cpu_times();
  const auto begin = std::chrono::steady_clock::now();
  time_entries(core, entries, options);
  const double wall = seconds_since(begin);
  const CpuTimes after = read_cpu_times();
  if (before.is_known && after.is_known && wall > 0)
    comparison.foreign_load =
        std::max(0.0, ((after.all_s - before.all_s) - (after.own_s - before.own_s)) / wall);

  comparison.device = core.problem().device;
  comparison.tenants = core.infos();
  for (Entry& entry : entries) summarize_times(core, entry);
  choose(core, 3 * options.time, entries, comparison);
  set_bounds(core, comparison);
  if (options.observe_placement) {
    try {
      comparison.placement = observe_placement(core, comparison.chosen, entries);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kUnsupported) throw;
      core.warn(error.message());  // the rest of the results stands
    }
  }
  for (Entry& entry : entries) {
    comparison.plan_s += entry.result.search_s;
    comparison.policies.push_back(std::move(entry.result));
  }
  return comparison;
}

}  // namespace gacer
