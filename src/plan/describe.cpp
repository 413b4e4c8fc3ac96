#include "plan/describe.h"

#include <fmt/format.h>

namespace gacer {

std::string node_name(const Plan& plan, int tenant, int node) {
  if (tenant < 0 || static_cast<std::size_t>(tenant) >= plan.tenants.size()) return "?";
  const auto& names = plan.tenants[static_cast<std::size_t>(tenant)].node_names;
  return node < 0 || static_cast<std::size_t>(node) >= names.size()
             ? "?"
             : names[static_cast<std::size_t>(node)];
}

std::string tenant_name(const Plan& plan, int tenant) {
  if (tenant < 0 || static_cast<std::size_t>(tenant) >= plan.tenants.size())
    return fmt::format("#{}", tenant);
  return plan.tenants[static_cast<std::size_t>(tenant)].name;
}

std::string describe(const Budget& budget) {
  return budget.is_all() ? "all" : fmt::format("[{}, {})", budget.begin, budget.end);
}

std::string describe_units(const DeviceInfo& device, const Budget& budget) {
  // Only a GPU's groups hold several units.
  const bool has_sms = device.units_per_group > 1;
  const auto count = [&](int units) {
    return fmt::format("{} {}{}", units, has_sms ? "SM" : "core", units == 1 ? "" : "s");
  };
  const int width = budget.size(device.num_groups);
  if (width >= device.num_groups) return "all " + count(device.num_units);
  const std::string units = count(width * device.units_per_group);
  return has_sms ? fmt::format("{} (groups {})", units, describe(budget))
                 : fmt::format("{} {}", units, describe(budget));
}

std::string describe(const Plan& plan, StepRef ref) {
  const Step& step = plan.step(ref);
  return fmt::format("lane {} step {} (tenant '{}', node {} '{}', chunk [{}, {}))", ref.lane,
                     ref.index, tenant_name(plan, step.tenant), step.node,
                     node_name(plan, step.tenant, step.node), step.chunk.begin, step.chunk.end);
}

}  // namespace gacer
