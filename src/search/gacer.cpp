#include "search/regulate.h"

namespace gacer {
namespace {

Plan make_gacer(SearchContext& context) {
  return regulate(
      context, "gacer",
      {.chunks = true, .variants = true, .budgets = true, .priorities = true, .syncs = true});
}

}  // namespace

const Policy& policy_gacer() {
  static constexpr Policy kPolicy{"gacer", "all knobs: space and time regulated together",
                                  make_gacer};
  return kPolicy;
}

}  // namespace gacer
