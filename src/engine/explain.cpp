#include "engine/explain.h"

#include "base/error.h"
#include "cost/model.h"
#include "plan/print.h"
#include "plan/verify.h"

namespace gacer {
namespace {

std::string describe_tenants(const EngineCore& core) {
  std::string text;
  for (const TenantInfo& info : core.infos())
    text +=
        fmt::format("  {}: {} {}, batch {}, {}, {} nodes, weights {:.1f} MiB, arena {:.1f} MiB\n",
                    info.name, info.model, info.mode, info.batch, info.precision, info.nodes,
                    static_cast<double>(info.weights_bytes) / (1 << 20),
                    static_cast<double>(info.arena_bytes) / (1 << 20));
  return text;
}

std::string describe_knobs(const Plan& plan) {
  const PlanSummary summary = summarize(plan);
  return fmt::format(
      "{} steps in {} lanes, {} chunks, {} budgets, {} priorities, {} sync points in {} barriers, "
      "{}\n",
      summary.steps, plan.lanes.size(), summary.chunks, summary.budgets, summary.priorities,
      summary.sync_points, summary.barriers,
      plan.mode == LaunchMode::kMerged ? "one program" : "free-running tenant programs");
}

}  // namespace

std::string explain_plan(EngineCore& core, const Plan& plan) {
  verify_plan(core.problem(), plan);
  std::string text = fmt::format("plan '{}' on {}\n", plan.policy, core.problem().device.name);
  text += describe_tenants(core) + describe_knobs(plan);
  for (const auto& [key, note] : plan.notes) text += fmt::format("{}: {}\n", key, note);

  core.profile();
  if (const auto ms = core.predict(plan))
    text += fmt::format("predicted: {:.3f} ms a round\n", *ms);
  PolicyLimits model_only;
  model_only.measurements = 0;
  for (const std::string& policy : simple_policies()) {
    if (policy == plan.policy) continue;
    if (const auto ms = core.predict(core.search(policy, model_only)))
      text += fmt::format("  {} would take {:.3f} ms\n", policy, *ms);
  }
  const Bounds bounds = compute_bounds(core.problem(), core.rows());
  text += fmt::format(
      "bounds: critical path {:.3f} ms, arithmetic {:.3f} ms, memory {:.3f} ms; area estimate "
      "{:.3f} ms\n\n",
      bounds.critical_path_ms, bounds.flop_ms, bounds.bytes_ms, bounds.area_estimate_ms);
  return text + print_plan(core.problem(), plan);
}

}  // namespace gacer
