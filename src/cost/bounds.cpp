#include <algorithm>
#include <vector>

#include "cost/model.h"

namespace gacer {
namespace {

/// Longest chain of fastest whole-batch rows; nodes without rows count nothing.
double critical_path_ms(const ProblemTenant& tenant, const ProfileTable& rows) {
  std::vector<double> end(tenant.nodes.size(), 0);
  double longest = 0;
  for (std::size_t i = 0; i < tenant.nodes.size(); ++i) {
    const ProblemNode& node = tenant.nodes[i];
    double begin = 0;
    for (const DataEdge& edge : node.inputs) {
      begin = std::max(begin, end[static_cast<std::size_t>(edge.from)]);
    }
    const auto usable = rows.rows(node.signature, node.batch);
    end[i] = begin + (usable.empty() ? 0 : usable.front().solo_ms);
    longest = std::max(longest, end[i]);
  }
  return longest;
}

double smallest_area_ms(const ProblemNode& node, const ProfileTable& rows, int num_groups) {
  double smallest = 0;
  for (std::int64_t items : chunk_sizes(node)) {
    if (node.batch % items != 0) continue;
    for (const ProfileRow& row : rows.rows(node.signature, items)) {
      const double area =
          area_ms(row, num_groups) * static_cast<double>(node.batch) / static_cast<double>(items);
      if (smallest == 0 || area < smallest) smallest = area;
    }
  }
  return smallest;
}

}  // namespace

Bounds compute_bounds(const Problem& problem, const ProfileTable& rows) {
  Bounds bounds;
  double flop = 0;
  double bytes = 0;
  for (const ProblemTenant& tenant : problem.tenants) {
    bounds.critical_path_ms =
        std::max(bounds.critical_path_ms, critical_path_ms(tenant, rows) * tenant.repeat);
    for (const ProblemNode& node : tenant.nodes) {
      flop += node.flop * tenant.repeat;
      bytes += node.bytes * tenant.repeat;
      bounds.area_estimate_ms +=
          smallest_area_ms(node, rows, problem.device.num_groups) * tenant.repeat;
    }
  }
  if (problem.device.peak_flops > 0) bounds.flop_ms = 1e3 * flop / problem.device.peak_flops;
  if (problem.device.peak_bandwidth > 0) {
    bounds.bytes_ms = 1e3 * bytes / problem.device.peak_bandwidth;
  }
  return bounds;
}

}  // namespace gacer
