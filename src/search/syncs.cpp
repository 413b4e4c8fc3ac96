#include "search/regulate.h"

namespace gacer {
namespace {

Plan make_syncs(SearchContext& context) { return regulate(context, "syncs", {.syncs = true}); }

}  // namespace

const Policy& policy_syncs() {
  static constexpr Policy kPolicy{
      "syncs", "sync points between tenants, on top of the best simple plan", make_syncs};
  return kPolicy;
}

}  // namespace gacer
