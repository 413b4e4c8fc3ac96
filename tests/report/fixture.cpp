#include "tests/report/fixture.h"

#include <random>

namespace gacer::report_test {
namespace {

/// Each tenant's nodes in turn on one core or on both; tenant `t` on core t % 2 when side by side.
std::vector<PolicyResult::Span> make_timeline(bool is_sequential, int num_nodes) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> duration(0.02, 0.3);
  std::vector<PolicyResult::Span> spans;
  double free_from[2] = {0, 0};
  for (int tenant = 0; tenant < 3; ++tenant) {
    for (int node = 0; node < num_nodes; ++node) {
      PolicyResult::Span span;
      span.tenant = tenant;
      span.node = "conv_" + std::to_string(node);
      span.variant = "onednn/3.2/threads=1/brgconv";
      span.unit_begin = is_sequential ? 0 : tenant % 2;
      span.unit_end = is_sequential ? 2 : span.unit_begin + 1;
      span.chunk = {0, node % 5 == 0 ? 2 : 4};
      span.begin_ms = free_from[span.unit_begin];
      span.end_ms = span.begin_ms + duration(random) * (is_sequential ? 0.6 : 1);
      for (int unit = span.unit_begin; unit < span.unit_end; ++unit) free_from[unit] = span.end_ms;
      spans.push_back(span);
    }
  }
  return spans;
}

PolicyResult make_result(const std::string& policy, double median_ms) {
  PolicyResult result;
  result.policy = policy;
  result.plan.policy = policy;
  result.plan.notes = {{"search", "coordinate descent, 412 evaluations"}};
  result.predicted_ms = median_ms * 0.97;
  result.min_ms = median_ms * 0.95;
  result.median_ms = median_ms;
  result.p95_ms = median_ms * 1.1;
  result.rounds = 21;
  result.tenants = {{"rec", median_ms * 0.9, median_ms, 4000 / median_ms},
                    {"magika", median_ms * 0.4, median_ms * 0.5, 1000 / median_ms},
                    {"vad", median_ms * 0.6, median_ms * 0.7, 32000 / median_ms}};
  result.utilization = 12.0 / median_ms;
  result.residue = 1 - result.utilization;
  result.is_checked = true;
  result.outputs_match = true;
  result.max_rel_error = policy == "sequential" ? 0 : 2e-6;
  result.launches = 120;
  result.summary.steps = 120;
  result.timeline = make_timeline(policy == "sequential", 40);
  return result;
}

}  // namespace

Comparison make_comparison() {
  Comparison comparison;
  comparison.device.name = "Test CPU, 2 cores";
  comparison.device.kind = "cpu";
  comparison.device.num_units = 2;
  comparison.device.num_groups = 2;
  comparison.device.clock_mhz = 2650;
  comparison.device.libraries = {{"onednn", "3.2.1"}};
  comparison.foreign_load = 0.25;
  comparison.tenants = {{"rec", "rec.onnx@4?W=320", "infer", "f32", 4, 10'800'000, 25'300'000, 40},
                        {"magika", "magika.onnx", "infer", "f32", 1, 3'100'000, 1'200'000, 40},
                        {"vad", "silero_vad.onnx@32", "infer", "f32", 32, 1'200'000, 640'000, 40}};
  comparison.policies = {make_result("sequential", 18.0), make_result("streams", 15.0),
                         make_result("gacer", 12.5)};
  comparison.policies[2].summary.chunks = 9;
  comparison.policies[2].summary.budgets = 2;
  comparison.policies[2].summary.sync_points = 4;
  comparison.critical_path_ms = 9.5;
  comparison.flop_ms = 6;
  comparison.bytes_ms = 2;
  comparison.area_estimate_ms = 11;
  comparison.chosen = "gacer";
  comparison.best_simple = "streams";
  comparison.regulated_won = true;
  comparison.guard_turns = 21;
  comparison.guard_gain_ms = 2.25;
  comparison.profile_s = 8.5;
  comparison.plan_s = 1.25;
  return comparison;
}

}  // namespace gacer::report_test
