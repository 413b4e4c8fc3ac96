#pragma once

#include <cstdint>
#include <filesystem>
#include <random>
#include <string>

#include <gacer/engine.h>
#include <gacer/error.h>
#include <gacer/plan.h>

#include "engine/core.h"
#include "graph/graph.h"
#include "plan/problem.h"

namespace gacer::testing {

/// Options for the CPU in plain loops with nothing kept: works under every sanitizer.
EngineOptions plain_options(const std::string& device_options = "impl=plain");

/// A directory that goes with the test.
struct TempDir {
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::filesystem::path path;
};

/// A spec that names a graph in memory.
TenantSpec named_spec(const std::string& name, std::int64_t batch = 1);

/// A net of convolutions, activations, sums, products, concatenations and pooling, with branches;
/// equal seeds give equal nets. Input "x" [batch, channels, 8, 8], outputs "y" and "z".
Graph make_random_net(std::uint64_t seed, std::int64_t batch, int num_nodes = 12,
                      std::int64_t channels = 4);

/// A plan that is legal and otherwise arbitrary: nodes cut at random, one to three lanes a tenant,
/// random variants, budgets, priorities and sync points between tenants.
Plan make_random_plan(EngineCore& core, std::mt19937& random);

}  // namespace gacer::testing
