#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "plan/problem.h"
#include "profile/profile.h"

namespace gacer::test {

/// A made-up tenant: random operators with rows that behave like measured ones.
struct SyntheticTenant {
  std::string shape = "chain";  ///< "chain", or "branches": residual and parallel paths
  int nodes = 20;
  std::uint64_t seed = 1;
  std::int64_t batch = 1;
  int repeat = 1;
  int priority = 0;
  std::string name;
};

struct Synthetic {
  Problem problem;
  ProfileTable rows;
};

/// "cpu" with cores as groups and variants tied to their width, or "gpu" with groups of 8 SMs.
DeviceInfo synthetic_device(const std::string& kind, int num_groups);
Synthetic make_synthetic(const DeviceInfo& device, const std::vector<SyntheticTenant>& tenants);
/// One to four random tenants on a random device of either kind.
Synthetic make_random_synthetic(std::uint64_t seed);

/// A legal plan drawn at random: chunks, lanes, budgets, priorities and sync points.
Plan make_random_plan(const Synthetic& synthetic, std::uint64_t seed);

}  // namespace gacer::test
