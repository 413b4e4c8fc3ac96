#include "search/regulate.h"

namespace gacer {
namespace {

Plan make_variants(SearchContext& context) {
  return regulate(context, "variants", {.variants = true});
}

}  // namespace

const Policy& policy_variants() {
  static constexpr Policy kPolicy{
      "variants", "other variants of operators, on top of the best simple plan", make_variants};
  return kPolicy;
}

}  // namespace gacer
