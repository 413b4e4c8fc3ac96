#pragma once

#include <optional>
#include <string>

#include "profile/profile.h"

namespace gacer {

/// Times of one variant on one width.
struct RowCost {
  double solo_ms = 0;
  double area_ms = 0;
  int launches = 1;
};

/// The row's times; without a row at that width (and variants not tied to it) estimated from the
/// nearest wider one, or the widest: fewer groups take at least area / share of the device. Empty
/// when the variant has no usable row.
std::optional<RowCost> find_row_cost(const ProfileTable& rows, const std::string& signature,
                                     std::int64_t items, const std::string& variant, int width,
                                     int num_groups, bool is_width_fixed);

}  // namespace gacer
