#pragma once

#include <cstdint>
#include <functional>

#include "plan/verify.h"

namespace gacer {

/// Two steps (numbers in the step graph) of one tenant whose accesses overlap, one of them writing.
/// Memory is shared in the order of the tenant's own sequence: only if the first has finished when
/// the second starts, each reads what it should.
struct Conflict {
  int first = 0;  ///< in the tenant's own sequence
  int second = 0;
  std::int64_t offset = 0;  ///< a byte that both touch
};

/// Calls `body` for every conflict, in no particular order, possibly several times a pair. Pairs of
/// a lane whose steps are in sequence are left out.
void for_each_conflict(const Problem& problem, const Plan& plan, const StepGraph& graph,
                       const std::function<void(const Conflict&)>& body);

}  // namespace gacer
