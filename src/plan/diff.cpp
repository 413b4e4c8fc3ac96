#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "plan/describe.h"
#include "plan/print.h"

namespace gacer {
namespace {

std::string print_step(const Step& step) {
  return fmt::format("items [{}, {}), budget {}, priority {}, {}", step.chunk.begin, step.chunk.end,
                     describe(step.budget), step.priority, step.variant);
}

using Placed = std::pair<int, Step>;  // lane and step
using StepMap = std::map<std::tuple<int, int, int, std::int64_t>, Placed>;

StepMap steps_of(const Plan& plan) {
  StepMap steps;
  for (std::size_t lane = 0; lane < plan.lanes.size(); ++lane) {
    for (const Step& step : plan.lanes[lane].steps) {
      steps[{step.tenant, step.iteration, step.node, step.chunk.begin}] = {static_cast<int>(lane),
                                                                           step};
    }
  }
  return steps;
}

std::set<std::string> syncs_of(const Plan& plan) {
  std::set<std::string> syncs;
  for (const SyncPoint& sync : plan.sync_points) {
    syncs.insert(fmt::format("{} before {} (barrier {})", describe(plan, sync.before),
                             describe(plan, sync.after), sync.barrier));
  }
  return syncs;
}

void diff_value(const char* what, const std::string& from, const std::string& to,
                std::string& out) {
  if (from != to) out += fmt::format("{}: {} -> {}\n", what, from, to);
}

void diff_steps(const Plan& from, const Plan& to, std::string& out) {
  const StepMap before = steps_of(from);
  const StepMap after = steps_of(to);
  const auto label = [&](const Plan& plan, const Step& step) {
    return fmt::format("tenant '{}' node {} '{}'{}", tenant_name(plan, step.tenant), step.node,
                       node_name(plan, step.tenant, step.node),
                       step.iteration ? fmt::format(" iteration {}", step.iteration) : "");
  };
  for (const auto& [key, placed] : before) {
    const auto found = after.find(key);
    if (found == after.end()) {
      out += fmt::format("- {}: {}\n", label(from, placed.second), print_step(placed.second));
    } else if (placed != found->second) {
      out += fmt::format("~ {}: lane {}, {} -> lane {}, {}\n", label(from, placed.second),
                         placed.first, print_step(placed.second), found->second.first,
                         print_step(found->second.second));
    }
  }
  for (const auto& [key, placed] : after) {
    if (!before.contains(key)) {
      out += fmt::format("+ {}: {}\n", label(to, placed.second), print_step(placed.second));
    }
  }
}

}  // namespace

std::string diff_plans(const Plan& from, const Plan& to) {
  std::string out;
  const auto mode = [](const Plan& plan) {
    return std::string(plan.mode == LaunchMode::kMerged ? "merged" : "free_running");
  };
  diff_value("policy", from.policy, to.policy, out);
  diff_value("seed", std::to_string(from.seed), std::to_string(to.seed), out);
  diff_value("mode", mode(from), mode(to), out);
  diff_value("device", from.device_id, to.device_id, out);
  diff_value("groups", std::to_string(from.num_groups), std::to_string(to.num_groups), out);
  diff_value("lanes", std::to_string(from.lanes.size()), std::to_string(to.lanes.size()), out);
  for (std::size_t i = 0; i < std::max(from.tenants.size(), to.tenants.size()); ++i) {
    if (i >= from.tenants.size()) {
      out += fmt::format("+ tenant '{}'\n", to.tenants[i].name);
    } else if (i >= to.tenants.size()) {
      out += fmt::format("- tenant '{}'\n", from.tenants[i].name);
    } else if (from.tenants[i] != to.tenants[i]) {
      out += fmt::format("~ tenant {} is '{}' ({}, {}), was '{}' ({}, {})\n", i, to.tenants[i].name,
                         to.tenants[i].model, to.tenants[i].fingerprint, from.tenants[i].name,
                         from.tenants[i].model, from.tenants[i].fingerprint);
    }
  }
  diff_steps(from, to, out);
  const std::set<std::string> before = syncs_of(from);
  const std::set<std::string> after = syncs_of(to);
  for (const std::string& sync : before) {
    if (!after.contains(sync)) out += fmt::format("- sync: {}\n", sync);
  }
  for (const std::string& sync : after) {
    if (!before.contains(sync)) out += fmt::format("+ sync: {}\n", sync);
  }
  for (const auto& [key, note] : to.notes) {
    const auto found = from.notes.find(key);
    if (found == from.notes.end() || found->second != note) {
      out += fmt::format("note {}: {}\n", key, note);
    }
  }
  for (const auto& [key, note] : from.notes) {
    if (!to.notes.contains(key)) out += fmt::format("note {} is gone\n", key);
  }
  if (out.empty() && from != to) out = "the steps of a lane are in another order\n";
  return out;
}

}  // namespace gacer
