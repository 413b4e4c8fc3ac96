#pragma once

#include <string>

#include "engine/core.h"

namespace gacer {

/// A plan in words: what it uses, what the model predicts for it and for the simple policies, the
/// bounds, and its lanes. Measures nothing: without rows it says so in the place of times.
/// Error{kPlan} when it is illegal for these tenants.
std::string explain_plan(EngineCore& core, const Plan& plan);

}  // namespace gacer
