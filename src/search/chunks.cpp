#include "search/regulate.h"

namespace gacer {
namespace {

Plan make_chunks(SearchContext& context) { return regulate(context, "chunks", {.chunks = true}); }

}  // namespace

const Policy& policy_chunks() {
  static constexpr Policy kPolicy{
      "chunks", "batches cut into chunks, on top of the best simple plan", make_chunks};
  return kPolicy;
}

}  // namespace gacer
