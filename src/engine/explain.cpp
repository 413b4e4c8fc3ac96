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

}  // namespace

std::string explain_plan(EngineCore& core, const Plan& plan) {
  verify_plan(core.problem(), plan);
  std::string text = fmt::format("plan '{}' on {}\n", plan.policy, core.problem().device.name);
  text += describe_tenants(core);
  core.profile();
  if (const auto ms = core.predict(plan))
    text += fmt::format("predicted by the profile's rows: {:.3f} ms a round\n", *ms);
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
