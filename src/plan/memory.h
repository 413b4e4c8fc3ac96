#pragma once

#include <cstdint>
#include <functional>

#include "plan/verify.h"

namespace gacer {

/// Two steps (numbers in the step graph) of different lanes of one tenant whose accesses overlap,
/// one of them writing.
struct Conflict {
  int first = 0;
  int second = 0;
  std::int64_t offset = 0;  ///< a byte that both touch
};

/// Calls `body` for every conflict, in no particular order, possibly several times a pair. Steps
/// of one lane are ordered anyway and are left out.
void for_each_conflict(const Problem& problem, const Plan& plan, const StepGraph& graph,
                       const std::function<void(const Conflict&)>& body);

}  // namespace gacer
