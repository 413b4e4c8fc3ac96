#include "engine/baseline.h"

#include <algorithm>
#include <map>
#include <span>

#include "base/error.h"

namespace gacer {
namespace {

std::string default_variant(const Device& device, const KernelCall& call,
                            std::span<const ProfileRow> rejected) {
  const int width = device.info().num_groups;
  const ProfileRow* last = nullptr;
  for (const KernelImpl* impl : device.kernels()) {
    if (!impl->supports(call)) continue;
    for (const std::string& key : impl->variants(call, width)) {
      const auto found = std::find_if(rejected.begin(), rejected.end(), [&](const ProfileRow& row) {
        return row.width == width && row.variant == key;
      });
      if (found == rejected.end()) return key;
      last = &*found;
    }
  }
  if (last != nullptr)
    fail(ErrorKind::kUnsupported, "no variant of node '{}' ({}) works on {}: {} {}", call.node.name,
         call.node.op, device.info().name, last->variant, last->rejected);
  fail(ErrorKind::kUnsupported, "no kernel of {} runs node '{}' ({}) on the whole device",
       device.info().name, call.node.name, call.node.op);
}

}  // namespace

Plan make_baseline_plan(const Device& device, const Problem& problem,
                        const std::vector<std::unique_ptr<PlacedTenant>>& tenants,
                        const ProfileTable& rows) {
  Plan plan;
  plan.policy = "baseline";
  plan.device_id = problem.device.profile_id();
  plan.num_groups = problem.device.num_groups;
  for (std::size_t t = 0; t < tenants.size(); ++t) {
    const PlacedTenant& tenant = *tenants[t];
    const ProblemTenant& facts = problem.tenants[t];
    plan.tenants.push_back(facts.identity);
    Lane lane{static_cast<int>(t), {}};
    std::map<std::string, std::string> variants;  // by signature
    for (int iteration = 0; iteration < facts.repeat; ++iteration) {
      for (std::size_t n = 0; n < facts.nodes.size(); ++n) {
        Step step;
        step.tenant = static_cast<int>(t);
        step.node = static_cast<int>(n);
        step.iteration = iteration;
        step.chunk = {0, facts.nodes[n].batch};
        std::string& variant = variants[facts.nodes[n].signature];
        if (variant.empty())
          variant = default_variant(device,
                                    make_call(tenant.graph(), step.node, tenant.precision,
                                              tenant.chunk_range(step.node, step.chunk)),
                                    rows.rejected(facts.nodes[n].signature, facts.nodes[n].batch));
        step.variant = variant;
        lane.steps.push_back(std::move(step));
      }
    }
    plan.lanes.push_back(std::move(lane));
  }
  // One tenant after the other; a tenant without nodes has nothing to wait for.
  int previous = -1;
  for (int i = 0; i < static_cast<int>(plan.lanes.size()); ++i) {
    const auto& steps = plan.lanes[static_cast<std::size_t>(i)].steps;
    if (steps.empty()) continue;
    if (previous >= 0) {
      const auto& before = plan.lanes[static_cast<std::size_t>(previous)].steps;
      plan.sync_points.push_back({{previous, static_cast<int>(before.size()) - 1}, {i, 0}, -1});
    }
    previous = i;
  }
  return plan;
}

}  // namespace gacer
