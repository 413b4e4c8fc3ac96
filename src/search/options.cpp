#include "search/options.h"

#include <algorithm>

#include "cost/row_cost.h"

namespace gacer {

const std::vector<Option>& Options::find(const ProblemNode& node, std::int64_t items, int width) {
  const auto [found, is_new] = found_.try_emplace({node.signature, items, width});
  std::vector<Option>& options = found->second;
  if (!is_new) return options;
  const int num_groups = problem_.device.num_groups;
  for (const ProfileRow& row : rows_.rows(node.signature, items)) {
    if (problem_.is_width_fixed && row.width != width) continue;
    const bool is_known = std::any_of(options.begin(), options.end(), [&](const Option& option) {
      return option.row->variant == row.variant;
    });
    if (is_known) continue;
    const auto cost = find_row_cost(rows_, node.signature, items, row.variant, width, num_groups,
                                    problem_.is_width_fixed);
    if (cost) options.push_back({&row, cost->solo_ms, cost->area_ms});
  }
  std::stable_sort(options.begin(), options.end(), [](const Option& a, const Option& b) {
    return a.solo_ms != b.solo_ms ? a.solo_ms < b.solo_ms : a.area_ms < b.area_ms;
  });
  // Slower ones must have less area than all before.
  double smallest = 1e300;
  std::erase_if(options, [&](const Option& option) {
    if (option.area_ms >= smallest * 0.999) return true;
    smallest = option.area_ms;
    return false;
  });
  return options;
}

const ProfileRow* Options::blended(const ProblemNode& node, std::int64_t items, int width,
                                   double blend) {
  const ProfileRow* best = nullptr;
  double best_ms = 0;
  for (const Option& option : find(node, items, width)) {
    const double area = option.area_ms * problem_.device.num_groups / width;
    const double ms = blend * option.solo_ms + (1 - blend) * area;
    if (!best || ms < best_ms) {
      best = option.row;
      best_ms = ms;
    }
  }
  return best;
}

}  // namespace gacer
