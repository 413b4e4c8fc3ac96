#include "cost/row_cost.h"

#include <algorithm>

namespace gacer {

std::optional<RowCost> find_row_cost(const ProfileTable& rows, const std::string& signature,
                                     std::int64_t items, const std::string& variant, int width,
                                     int num_groups, bool is_width_fixed) {
  if (const ProfileRow* row = rows.find(signature, items, variant, width))
    return RowCost{row->solo_ms, area_ms(*row, num_groups), row->launches};
  if (is_width_fixed) return std::nullopt;
  const ProfileRow* nearest = nullptr;
  for (const ProfileRow& row : rows.rows(signature, items)) {
    if (row.variant != variant) continue;
    const bool is_better =
        !nearest || (row.width > width ? nearest->width < width || row.width < nearest->width
                                       : nearest->width < row.width);
    if (is_better) nearest = &row;
  }
  if (!nearest) return std::nullopt;
  RowCost cost{nearest->solo_ms, area_ms(*nearest, num_groups), nearest->launches};
  cost.solo_ms = std::max(cost.solo_ms, cost.area_ms * num_groups / width);
  return cost;
}

}  // namespace gacer
