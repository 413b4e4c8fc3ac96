#include "base/error.h"
#include "search/simple_drafts.h"

namespace gacer {
namespace {

Plan make_partition(SearchContext& context) {
  Session session(context, "partition");
  const std::vector<Candidate> rated =
      rate_all(session, make_partition_drafts(context.problem, context.rows));
  if (rated.empty()) {
    fail(ErrorKind::kUnsupported, "no split of the {} groups has rows for all tenants",
         context.problem.device.num_groups);
  }
  return choose(session, rated, /*finalists=*/5);
}

}  // namespace

const Policy& policy_partition() {
  static constexpr Policy kPolicy{
      "partition", "the best static split of the device among the tenants", make_partition};
  return kPolicy;
}

}  // namespace gacer
