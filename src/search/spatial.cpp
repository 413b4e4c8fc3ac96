#include "search/regulate.h"

namespace gacer {
namespace {

Plan make_spatial(SearchContext& context) {
  return regulate(context, "spatial", {.chunks = true, .variants = true, .budgets = true});
}

}  // namespace

const Policy& policy_spatial() {
  static constexpr Policy kPolicy{"spatial", "chunks, variants and budgets together", make_spatial};
  return kPolicy;
}

}  // namespace gacer
