#include "base/error.h"
#include "search/simple_drafts.h"

namespace gacer {
namespace {

Plan make_streams(SearchContext& context) {
  Session session(context, "streams");
  const std::vector<Candidate> rated =
      rate_all(session, make_streams_drafts(context.problem, context.rows));
  if (rated.empty()) fail(ErrorKind::kUnsupported, "the model refuses every streams plan");
  return choose(session, rated, /*finalists=*/2);
}

}  // namespace

const Policy& policy_streams() {
  static constexpr Policy kPolicy{
      "streams", "all tenants at once, left to the device: merged or free-running, the better",
      make_streams};
  return kPolicy;
}

}  // namespace gacer
