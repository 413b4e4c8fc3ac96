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
    text += fmt::format("  {}: {} {}, batch {}, {}, {} nodes, weights {:.1f} MB, arena {:.1f} MB\n",
                        info.name, info.model, info.mode, info.batch, info.precision, info.nodes,
                        static_cast<double>(info.weights_bytes) / 1e6,
                        static_cast<double>(info.arena_bytes) / 1e6);
  return text;
}

std::string format_bound(double ms) { return ms > 0 ? fmt::format("{:.3f} ms", ms) : "-"; }

/// What the rows say of the plan and of the simple policies.
std::string describe_times(EngineCore& core, const Plan& plan) {
  std::string text;
  if (const auto ms = core.predict(plan))
    text += fmt::format("predicted by the profile's rows: {:.3f} ms a round\n", *ms);
  else
    text += "not predicted: steps of the plan have no rows in the profile\n";
  for (const std::string& policy : simple_policies()) {
    if (policy == plan.policy) continue;
    if (const auto ms = core.predict(core.plan_from_rows(policy)))
      text += fmt::format("  {} would take {:.3f} ms\n", policy, *ms);
  }
  const Bounds bounds = compute_bounds(core.problem(), core.rows());
  text += fmt::format("bounds: critical path {}, arithmetic {}, memory {}; area estimate {}\n",
                      format_bound(bounds.critical_path_ms), format_bound(bounds.flop_ms),
                      format_bound(bounds.bytes_ms), format_bound(bounds.area_estimate_ms));
  return text;
}

std::string describe_lack(const EngineCore& core, std::size_t missing) {
  int nodes = 0;
  for (const TenantInfo& info : core.infos()) nodes += info.nodes;
  return fmt::format(
      "no times: {} of {} nodes have no rows in the {}\n", missing, nodes,
      core.is_recorded()
          ? "recording"
          : "profile; `gacer profile --plan FILE` with this plan's file measures them");
}

}  // namespace

std::string explain_plan(EngineCore& core, const Plan& plan) {
  verify_plan(core.problem(), plan);
  std::string text = fmt::format("plan '{}' on {}\n", plan.policy, core.problem().device.name);
  text += describe_tenants(core);
  core.load_rows();
  const std::size_t missing = core.count_nodes_without_rows();
  text += missing == 0 ? describe_times(core, plan) : describe_lack(core, missing);
  return text + "\n" + print_plan(core.problem(), plan);
}

}  // namespace gacer
