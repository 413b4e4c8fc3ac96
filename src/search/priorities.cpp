#include "search/regulate.h"

namespace gacer {
namespace {

Plan make_priorities(SearchContext& context) {
  return regulate(context, "priorities", {.priorities = true});
}

}  // namespace

const Policy& policy_priorities() {
  static constexpr Policy kPolicy{
      "priorities", "priorities of tenants and runs of operators, on top of the best simple plan",
      make_priorities};
  return kPolicy;
}

}  // namespace gacer
