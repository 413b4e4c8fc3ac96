#include "base/error.h"
#include "search/simple_drafts.h"

namespace gacer {
namespace {

Plan make_sequential(SearchContext& context) {
  Session session(context, "sequential");
  std::vector<NamedDraft> drafts;
  drafts.push_back(make_sequential_draft(context.problem, context.rows));
  const std::vector<Candidate> rated = rate_all(session, std::move(drafts));
  if (rated.empty()) fail(ErrorKind::kUnsupported, "the model refuses the sequential plan");
  return choose(session, rated, /*finalists=*/0);
}

}  // namespace

const Policy& policy_sequential() {
  static constexpr Policy kPolicy{
      "sequential", "one tenant after the other, each operator by its fastest variant",
      make_sequential};
  return kPolicy;
}

}  // namespace gacer
