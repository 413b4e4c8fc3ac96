#include "report/json.h"

#include <optional>

#include <nlohmann/json.hpp>

#include <gacer/version.h>

#include "report/report_value.h"
#include "report/summary.h"

namespace gacer {
namespace {

using Json = nlohmann::ordered_json;

Json or_null(std::optional<double> value) { return value ? Json(*value) : Json(nullptr); }

Json device_value(const DeviceInfo& device) {
  Json value;
  value["name"] = device.name;
  value["kind"] = device.kind;
  value[device.kind == "cuda" ? "sms" : "cores"] = device.num_units;
  value["clocks"] = {{"mhz", device.clock_mhz}};
  value["driver"] = device.driver;
  value["libraries"] = Json::object();
  for (const auto& [name, library_version] : device.libraries)
    value["libraries"][name] = library_version;
  return value;
}

Json tenant_value(const TenantInfo& tenant) {
  return {{"name", tenant.name},
          {"model", tenant.model},
          {"mode", tenant.mode},
          {"batch", tenant.batch},
          {"precision", tenant.precision},
          {"weights_bytes", tenant.weights_bytes},
          {"arena_bytes", tenant.arena_bytes}};
}

Json policy_value(const PolicyResult& result) {
  Json tenants = Json::array();
  for (const TenantResult& tenant : result.tenants) {
    tenants.push_back(
        {{"name", tenant.name},
         {"latency_ms", {{"median", tenant.latency_median_ms}, {"p95", tenant.latency_p95_ms}}},
         {"items_per_s", tenant.items_per_s}});
  }
  return {{"name", result.policy},
          {"round_ms",
           {{"min", result.min_ms},
            {"median", result.median_ms},
            {"p95", result.p95_ms},
            {"n", result.rounds}}},
          {"tenants", std::move(tenants)},
          {"utilization", result.utilization},
          {"residue", result.residue},
          {"outputs_match", result.is_checked ? Json(result.outputs_match) : Json(nullptr)},
          {"max_rel_error", result.is_checked ? Json(result.max_rel_error) : Json(nullptr)},
          {"launches", result.launches},
          {"chunks", result.summary.chunks},
          {"budgets", result.summary.budgets},
          {"sync_points", result.summary.sync_points},
          {"search_s", result.search_s},
          {"notes", result.plan.notes}};
}

}  // namespace

Json report_value(const Comparison& comparison, const std::string& command) {
  Json value;
  value["gacer"] = version();
  value["commit"] = commit();
  value["command"] = command;
  value["device"] = device_value(comparison.device);
  value["foreign_load"] = comparison.foreign_load;
  value["tenants"] = Json::array();
  for (const TenantInfo& tenant : comparison.tenants)
    value["tenants"].push_back(tenant_value(tenant));
  value["policies"] = Json::array();
  for (const PolicyResult& result : comparison.policies)
    value["policies"].push_back(policy_value(result));
  const auto known = [](double ms) { return ms > 0 ? Json(ms) : Json(nullptr); };
  value["bounds"] = {{"critical_path_ms", comparison.critical_path_ms},
                     {"flop_ms", known(comparison.flop_ms)},
                     {"bytes_ms", known(comparison.bytes_ms)},
                     {"area_estimate_ms", comparison.area_estimate_ms}};
  value["chosen"] = comparison.chosen;
  value["guard"] = {{"best_simple", comparison.best_simple},
                    {"regulated_won", comparison.regulated_won},
                    {"gain_ms", or_null(comparison.guard_gain_ms)},
                    {"noise_ms", or_null(comparison.guard_noise_ms)},
                    {"turns", comparison.guard_turns}};
  const PolicyResult* chosen = chosen_result(comparison);
  const std::string name = chosen == nullptr ? "" : chosen->policy;
  value["speedup"] = {
      {"vs_sequential", or_null(speedup(comparison, name, "sequential"))},
      {"vs_streams", or_null(speedup(comparison, name, "streams"))},
      {"vs_best_simple", or_null(speedup(comparison, name, comparison.best_simple))}};
  value["profile_s"] = comparison.profile_s;
  value["plan_s"] = comparison.plan_s;
  for (const Placement& row : comparison.placement)
    value["placement"].push_back({{"groups", {row.budget.begin, row.budget.end}},
                                  {"units", row.units},
                                  {"expected_kernels", row.expected_kernels},
                                  {"seen_kernels", row.seen_kernels},
                                  {"busy_ms", row.busy_ms}});
  return value;
}

std::string report_json(const Comparison& comparison, const std::string& command) {
  // Names come from model files and need not be valid UTF-8.
  return report_value(comparison, command)
             .dump(2, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace) +
         "\n";
}

}  // namespace gacer
