#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include <gacer/plan.h>
#include <gacer/policy.h>

#include "cost/model.h"
#include "plan/evaluator.h"
#include "plan/problem.h"
#include "profile/profile.h"

namespace gacer {

struct SearchProgress {
  std::string phase;
  std::int64_t done = 0;
  std::int64_t total = 0;
  double best_ms = 0;
};

/// Everything that a policy may look at. References outlive the call.
struct SearchContext {
  const Problem& problem;
  const ProfileTable& rows;
  ModelEvaluator& model;
  Evaluator* device = nullptr;  ///< measures; nullptr: the model decides
  PolicyLimits limits;
  std::uint64_t seed = 0;
  std::function<void(const SearchProgress&)> on_progress;  ///< may be empty
  const std::atomic<bool>* is_cancelled = nullptr;         ///< return the best so far when set
};

/// A policy makes a legal plan (verify_plan passes). Error{kUnsupported} when rows lack a node.
struct Policy {
  std::string_view name;
  std::string_view summary;  ///< one line for `--help`
  Plan (*make)(SearchContext& context) = nullptr;
};

/// Generated from the list of policies in the build.
std::span<const Policy* const> all_policies();
/// Error{kUsage} naming the policies there are.
const Policy& find_policy(std::string_view name);

}  // namespace gacer
