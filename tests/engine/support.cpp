#include "tests/engine/support.h"

#include <stdlib.h>

#include <algorithm>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "plan/verify.h"
#include "zoo/net_builder.h"

namespace gacer::testing {
namespace {

int below(std::mt19937& random, std::size_t count) {
  return static_cast<int>(random() % static_cast<std::mt19937::result_type>(count));
}

/// Cuts [0, batch) into one to three ranges.
std::vector<Chunk> cut(const ProblemNode& node, std::mt19937& random) {
  std::vector<std::int64_t> ends{node.batch};
  if (node.is_splittable())
    for (int i = below(random, 3); i > 0; --i)
      ends.push_back(1 + below(random, static_cast<std::size_t>(node.batch)));
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  std::vector<Chunk> chunks;
  std::int64_t begin = 0;
  for (const std::int64_t end : ends) {
    chunks.push_back({begin, end});
    begin = end;
  }
  std::shuffle(chunks.begin(), chunks.end(), random);
  return chunks;
}

std::string pick_variant(EngineCore& core, const Step& step, int width, std::mt19937& random) {
  const PlacedTenant& tenant = *core.tenants()[static_cast<std::size_t>(step.tenant)];
  const KernelCall call = make_call(tenant.graph(), step.node, tenant.precision,
                                    tenant.chunk_range(step.node, step.chunk));
  std::vector<std::string> keys;
  for (const KernelImpl* impl : core.device().kernels())
    if (impl->supports(call))
      for (std::string& key : impl->variants(call, width)) keys.push_back(std::move(key));
  require(!keys.empty(), "no variant of node {} at width {}", step.node, width);
  return keys[static_cast<std::size_t>(below(random, keys.size()))];
}

}  // namespace

TempDir::TempDir() {
  std::string name = ::testing::TempDir() + "gacer-engine-XXXXXX";
  if (mkdtemp(name.data()) == nullptr) ADD_FAILURE() << "no temporary directory";
  path = name;
}

TempDir::~TempDir() { std::filesystem::remove_all(path); }

EngineOptions plain_options(const std::string& device_options) {
  EngineOptions options;
  options.device = "cpu";
  options.device_options = device_options;
  options.use_profile = false;
  return options;
}

TenantSpec named_spec(const std::string& name, std::int64_t batch) {
  TenantSpec spec;
  spec.model = "memory:" + name;
  spec.name = name;
  spec.batch = batch;
  return spec;
}

Graph make_random_net(std::uint64_t seed, std::int64_t batch, int num_nodes,
                      std::int64_t channels) {
  std::mt19937 random(static_cast<std::mt19937::result_type>(seed));
  NetBuilder net("random" + std::to_string(seed), batch, seed);
  // All of one shape, so that any two can meet.
  std::vector<ValueId> values{net.input("x", DType::kF32, Shape{channels, 8, 8})};
  const auto pick = [&] {
    const auto recent = std::min<std::size_t>(values.size(), 4);
    return values[values.size() - 1 - static_cast<std::size_t>(below(random, recent))];
  };
  for (int i = 0; i < num_nodes; ++i) {
    const std::string name = "n" + std::to_string(i);
    switch (below(random, 7)) {
      case 0:
      case 1:
        values.push_back(net.conv(name, pick(), channels, {3, 1, 1, 1}, true));
        break;
      case 2:
        values.push_back(net.relu(name, pick()));
        break;
      case 3:
        values.push_back(net.op("Sigmoid", name, {pick()}));
        break;
      case 4:
        values.push_back(net.op("Mul", name, {pick(), pick()}));
        break;
      case 5: {
        const ValueId both = net.op("Concat", name, {pick(), pick()}, attrs({{"axis", 1}}));
        values.push_back(net.conv(name + "c", both, channels, {1, 1, 0, 1}, true));
        break;
      }
      default:
        values.push_back(net.add(name, pick(), pick()));
    }
  }
  const ValueId pooled = net.global_average_pool("pool", pick());
  const ValueId z = net.linear("fc", net.flatten("flat", pooled), 5);
  return net.finish({{"y", values.back()}, {"z", z}});
}

Plan make_random_plan(EngineCore& core, std::mt19937& random) {
  const Problem& problem = core.problem();
  Plan plan;
  plan.policy = "random";
  plan.device_id = problem.device.profile_id();
  plan.num_groups = problem.device.num_groups;
  std::vector<std::vector<int>> lanes_of;
  std::vector<int> next_node;
  for (std::size_t t = 0; t < problem.tenants.size(); ++t) {
    plan.tenants.push_back(problem.tenants[t].identity);
    lanes_of.emplace_back();
    for (int i = 1 + below(random, 3); i > 0; --i) {
      lanes_of.back().push_back(static_cast<int>(plan.lanes.size()));
      plan.lanes.push_back({static_cast<int>(t), {}});
    }
    next_node.push_back(0);
  }
  // Steps are made in one global order that interleaves the tenants; all edges follow it.
  std::vector<StepRef> made;
  std::vector<int> unfinished;
  for (std::size_t t = 0; t < problem.tenants.size(); ++t)
    unfinished.push_back(static_cast<int>(t));
  while (!unfinished.empty()) {
    const int t = unfinished[static_cast<std::size_t>(below(random, unfinished.size()))];
    const ProblemTenant& tenant = problem.tenants[static_cast<std::size_t>(t)];
    const int position = next_node[static_cast<std::size_t>(t)]++;
    const int nodes = static_cast<int>(tenant.nodes.size());
    const ProblemNode& node = tenant.nodes[static_cast<std::size_t>(position % nodes)];
    const auto& lanes = lanes_of[static_cast<std::size_t>(t)];
    for (const Chunk& chunk : cut(node, random)) {
      Step step;
      step.tenant = t;
      step.node = position % nodes;
      step.iteration = position / nodes;
      step.chunk = chunk;
      const int width = 1 + below(random, static_cast<std::size_t>(problem.device.num_groups));
      const int begin =
          below(random, static_cast<std::size_t>(problem.device.num_groups - width + 1));
      step.budget = {begin, begin + width};
      step.variant = pick_variant(core, step, width, random);
      step.priority = below(random, 3);
      const int lane = lanes[static_cast<std::size_t>(below(random, lanes.size()))];
      auto& steps = plan.lanes[static_cast<std::size_t>(lane)].steps;
      steps.push_back(step);
      made.push_back({lane, static_cast<int>(steps.size()) - 1});
      if (made.size() > 1 && below(random, 4) == 0) {
        const StepRef before = made[static_cast<std::size_t>(below(random, made.size() - 1))];
        plan.sync_points.push_back({before, made.back(), -1});
      }
    }
    if (next_node[static_cast<std::size_t>(t)] == nodes * tenant.repeat) std::erase(unfinished, t);
  }
  order_memory(problem, plan);
  return plan;
}

}  // namespace gacer::testing
