#pragma once

#include <cstddef>

#include <gacer/plan.h>

namespace gacer {

/// Of what a plan runs and in which order; not of who made it and what is noted beside it.
std::size_t hash_steps(const Plan& plan);

}  // namespace gacer
