#pragma once

#include <string>

#include <gacer/plan.h>

#include "plan/problem.h"

namespace gacer {

/// For people: per tenant its lanes, runs of equal steps folded ("nodes 3-17: 1 core [0, 1), whole
/// batch"), chunks, budgets, priorities, barriers with the steps they separate.
std::string print_plan(const Problem& problem, const Plan& plan);

/// What changed from one plan to another, step by step; empty when equal.
std::string diff_plans(const Plan& from, const Plan& to);

}  // namespace gacer
