#include "search/regulate.h"

namespace gacer {
namespace {

Plan make_temporal(SearchContext& context) {
  return regulate(context, "temporal", {.priorities = true, .syncs = true});
}

}  // namespace

const Policy& policy_temporal() {
  static constexpr Policy kPolicy{"temporal", "priorities and sync points together", make_temporal};
  return kPolicy;
}

}  // namespace gacer
