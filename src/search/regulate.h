#pragma once

#include <string_view>

#include "search/knobs.h"
#include "search/search.h"

namespace gacer {

/// The regulated policies: fits the model to two rounds of a GPU, starts from the best simple plan,
/// constructs (list schedules, blends), improves on the model and measures the best of each family,
/// then changes of the winner, while the limits last. Never worse than the best simple plan by
/// whoever decides (device, else model). Notes say how it came about and what each knob bought on
/// the model.
Plan regulate(SearchContext& context, std::string_view policy, const Knobs& knobs);

}  // namespace gacer
