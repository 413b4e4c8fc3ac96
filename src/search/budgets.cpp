#include "search/regulate.h"

namespace gacer {
namespace {

Plan make_budgets(SearchContext& context) {
  return regulate(context, "budgets", {.budgets = true});
}

}  // namespace

const Policy& policy_budgets() {
  static constexpr Policy kPolicy{
      "budgets", "parts of the device for tenants and runs of operators", make_budgets};
  return kPolicy;
}

}  // namespace gacer
