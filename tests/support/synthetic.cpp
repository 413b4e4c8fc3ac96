#include "tests/support/synthetic.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "plan/verify.h"

namespace gacer::test {
namespace {

using Random = std::mt19937_64;

double uniform(Random& random, double low, double high) {
  return std::uniform_real_distribution<double>(low, high)(random);
}
int integer(Random& random, int low, int high) {
  return std::uniform_int_distribution<int>(low, high)(random);
}

/// How one operator behaves; rows follow from it.
struct Operator {
  double item_ms = 0;      ///< work of one item on one group, fastest variant
  double fixed_ms = 0;     ///< weights to read, launch
  double scaling = 0.9;    ///< share of ideal speed-up of further groups
  double contention = 0;   ///< extra time beside copies of itself
  double width_limit = 1;  ///< most of the device that it can fill (gpu)
};

Operator draw_operator(std::uint64_t seed) {
  Random random(seed);
  Operator op;
  op.item_ms = 0.02 * std::exp(uniform(random, -1.5, 1.5));
  op.fixed_ms = uniform(random, 0.002, 0.02);
  op.scaling = uniform(random, 0.5, 1.0);
  op.contention = std::max(0.0, uniform(random, -0.3, 0.5));
  op.width_limit = uniform(random, 0.2, 1.2);
  return op;
}

void add_cpu_rows(const Operator& op, const std::string& signature, std::int64_t items,
                  int num_groups, ProfileTable& rows) {
  for (int width = 1; width <= num_groups; ++width) {
    for (int variant = 0; variant < 2; ++variant) {
      const double slower = variant == 0 ? 1.0 : 1.15;
      const double serial = (op.item_ms * static_cast<double>(items) + op.fixed_ms) * slower;
      ProfileRow row;
      row.signature = signature;
      row.items = items;
      row.variant = fmt::format("plain/{}/threads={}", variant == 0 ? "tiled" : "naive", width);
      row.width = width;
      row.solo_ms = serial / (1 + (width - 1) * op.scaling) + (width > 1 ? 0.004 : 0);
      const double contention = width == num_groups ? 0 : op.contention;
      row.saturated_ms = row.solo_ms * width / num_groups * (1 + contention);
      row.flop = 1e7 * serial;
      row.bytes = 1e6 * serial;
      rows.add(row);
    }
  }
}

void add_gpu_rows(const Operator& op, const std::string& signature, std::int64_t items,
                  int num_groups, ProfileTable& rows) {
  // Variants trade latency for area.
  const double latency[] = {1.0, 1.5, 2.4};
  const double area[] = {1.0, 0.85, 0.8};
  const double work = 0.1 * (op.item_ms * static_cast<double>(items) + op.fixed_ms);
  const double filled = std::min(1.0, op.width_limit * (0.3 + 0.1 * static_cast<double>(items)));
  for (int variant = 0; variant < 3; ++variant) {
    for (int width = num_groups; width >= std::max(1, num_groups / 4);
         width -= std::max(1, num_groups / 4)) {
      ProfileRow row;
      row.signature = signature;
      row.items = items;
      row.variant = fmt::format("made/tile={}", variant);
      row.width = width;
      const double share = static_cast<double>(width) / num_groups;
      row.saturated_ms = work * area[variant];
      row.solo_ms = std::max(work / filled * latency[variant], row.saturated_ms / share) + 0.001;
      row.flop = 1e9 * work;
      row.bytes = 1e8 * work;
      rows.add(row);
    }
  }
}

ProblemTenant make_tenant(const SyntheticTenant& spec, int index,
                          std::vector<Operator>& operators) {
  constexpr int kRing = 6;  // values alive at once: memory is used again
  Random random(spec.seed * 7919 + 17);
  ProblemTenant tenant;
  tenant.priority = spec.priority;
  tenant.repeat = spec.repeat;
  tenant.identity.name = spec.name.empty() ? fmt::format("t{}", index) : spec.name;
  tenant.identity.model = fmt::format("synthetic:{}", spec.shape);
  tenant.identity.batch = spec.batch;
  tenant.identity.repeat = spec.repeat;
  tenant.identity.fingerprint = fmt::format("{:016x}", random());
  std::int64_t slot_bytes = 0;
  std::vector<std::int64_t> item_bytes;
  for (int i = 0; i < spec.nodes; ++i) item_bytes.push_back(64 * integer(random, 1, 16));
  for (std::int64_t bytes : item_bytes) slot_bytes = std::max(slot_bytes, bytes * spec.batch);
  for (int i = 0; i < spec.nodes; ++i) {
    ProblemNode node;
    // Few signatures, many nodes, as in real models.
    const std::uint64_t kind = spec.seed * 100 + static_cast<std::uint64_t>(integer(random, 0, 7));
    node.name = fmt::format("y{}", i);
    node.op = "Made";
    node.signature = fmt::format("{:016x}", kind);
    const bool is_splittable = spec.batch > 1 && integer(random, 0, 9) > 0;
    node.batch = is_splittable ? spec.batch : 1;
    if (!is_splittable) node.no_split_reason = "couples the items of its batch";
    const auto access = [&](int value, bool is_write) {
      const std::int64_t bytes = item_bytes[static_cast<std::size_t>(value)];
      node.accesses.push_back(
          {value, (value % kRing) * slot_bytes, bytes * spec.batch, bytes, true, is_write});
    };
    access(i, true);
    std::vector<int> from;
    if (i > 0) from.push_back(i - 1);
    if (spec.shape == "branches" && i > 2 && integer(random, 0, 2) == 0) {
      from.push_back(i - integer(random, 2, 3));
      if (integer(random, 0, 1) == 0) from.erase(from.begin());
    }
    std::sort(from.begin(), from.end());
    for (int producer : from) {
      node.inputs.push_back({producer, true});
      access(producer, false);
    }
    tenant.identity.node_names.push_back(node.name);
    tenant.identity.node_signatures.push_back(node.signature);
    tenant.nodes.push_back(std::move(node));
    operators.push_back(draw_operator(kind));
  }
  return tenant;
}

}  // namespace

DeviceInfo synthetic_device(const std::string& kind, int num_groups) {
  DeviceInfo device;
  device.name = fmt::format("made-up {}", kind);
  device.kind = kind;
  device.num_groups = num_groups;
  device.units_per_group = kind == "gpu" ? 8 : 1;
  device.num_units = num_groups * device.units_per_group;
  device.peak_flops = kind == "gpu" ? 5e14 : 1e11;
  device.peak_bandwidth = kind == "gpu" ? 4e12 : 2e10;
  return device;
}

Synthetic make_synthetic(const DeviceInfo& device, const std::vector<SyntheticTenant>& tenants) {
  Synthetic result;
  result.problem.device = device;
  result.problem.is_width_fixed = device.kind == "cpu";
  int index = 0;
  for (const SyntheticTenant& spec : tenants) {
    std::vector<Operator> operators;
    ProblemTenant tenant = make_tenant(spec, index++, operators);
    for (std::size_t i = 0; i < tenant.nodes.size(); ++i) {
      ProblemNode& node = tenant.nodes[i];
      // A node that cannot be split works on its whole batch in one call of one item.
      const std::int64_t scale = node.is_splittable() ? 1 : spec.batch;
      Operator op = operators[i];
      op.item_ms *= static_cast<double>(scale);
      if (scale > 1) node.signature += "w";
      tenant.identity.node_signatures[i] = node.signature;
      node.flop = 1e7 * op.item_ms * static_cast<double>(node.batch);
      node.bytes = 1e6 * op.item_ms * static_cast<double>(node.batch);
      for (std::int64_t items : chunk_sizes(node)) {
        if (result.rows.has(node.signature, items)) continue;
        if (result.problem.is_width_fixed) {
          add_cpu_rows(op, node.signature, items, device.num_groups, result.rows);
        } else {
          add_gpu_rows(op, node.signature, items, device.num_groups, result.rows);
        }
      }
    }
    result.problem.tenants.push_back(std::move(tenant));
  }
  return result;
}

Synthetic make_random_synthetic(std::uint64_t seed) {
  Random random(seed);
  const bool is_cpu = integer(random, 0, 1) == 0;
  const DeviceInfo device = synthetic_device(
      is_cpu ? "cpu" : "gpu", is_cpu ? integer(random, 1, 4) : integer(random, 4, 17));
  std::vector<SyntheticTenant> tenants(static_cast<std::size_t>(integer(random, 1, 4)));
  for (SyntheticTenant& tenant : tenants) {
    tenant.shape = integer(random, 0, 1) == 0 ? "chain" : "branches";
    tenant.nodes = integer(random, 1, 30);
    tenant.seed = static_cast<std::uint64_t>(integer(random, 1, 1000));
    tenant.batch = integer(random, 1, 8);
    tenant.repeat = integer(random, 0, 3) == 0 ? 2 : 1;
    tenant.priority = integer(random, -1, 1);
  }
  return make_synthetic(device, tenants);
}

namespace {

/// A tenant's nodes as one to three lanes; chunks and uncut nodes go to lanes at random.
void add_random_lanes(const Synthetic& made, int tenant_index, Random& random, Plan& plan) {
  const ProblemTenant& tenant = made.problem.tenants[static_cast<std::size_t>(tenant_index)];
  const std::size_t first = plan.lanes.size();
  const int num_lanes = integer(random, 1, 3);
  plan.lanes.resize(first + static_cast<std::size_t>(num_lanes), Lane{tenant_index, {}});
  for (int iteration = 0; iteration < tenant.repeat; ++iteration) {
    for (std::size_t n = 0; n < tenant.nodes.size(); ++n) {
      const ProblemNode& node = tenant.nodes[n];
      const auto sizes = chunk_sizes(node);
      for (std::int64_t begin = 0; begin < node.batch;) {
        std::int64_t size = 0;
        do {
          size = sizes[static_cast<std::size_t>(
              integer(random, 0, static_cast<int>(sizes.size()) - 1))];
        } while (begin + size > node.batch);
        const auto rows = made.rows.rows(node.signature, size);
        const ProfileRow& row =
            rows[static_cast<std::size_t>(integer(random, 0, static_cast<int>(rows.size()) - 1))];
        Step step;
        step.tenant = tenant_index;
        step.node = static_cast<int>(n);
        step.iteration = iteration;
        step.chunk = {begin, begin + size};
        step.variant = row.variant;
        const int place = integer(random, 0, plan.num_groups - row.width);
        step.budget = {place, place + row.width};
        step.priority = integer(random, -1, 1);
        const auto lane = first + static_cast<std::size_t>(integer(random, 0, num_lanes - 1));
        plan.lanes[lane].steps.push_back(step);
        begin += size;
      }
    }
  }
  std::erase_if(plan.lanes, [](const Lane& lane) { return lane.steps.empty(); });
}

}  // namespace

Plan make_random_plan(const Synthetic& made, std::uint64_t seed) {
  Random random(seed);
  Plan plan;
  plan.policy = "random";
  plan.seed = seed;
  plan.device_id = made.problem.device.profile_id();
  plan.num_groups = made.problem.device.num_groups;
  for (const ProblemTenant& tenant : made.problem.tenants) plan.tenants.push_back(tenant.identity);
  for (std::size_t t = 0; t < made.problem.tenants.size(); ++t) {
    add_random_lanes(made, static_cast<int>(t), random, plan);
  }
  order_memory(made.problem, plan);
  // Edges along one topological order never close a cycle.
  const StepGraph graph = make_step_graph(made.problem, plan);
  const int last = static_cast<int>(graph.order.size()) - 1;
  for (int i = 0; i < 6 && last > 0; ++i) {
    const int a = integer(random, 0, last - 1);
    const int b = integer(random, a + 1, last);
    const StepRef before =
        graph.steps[static_cast<std::size_t>(graph.order[static_cast<std::size_t>(a)])];
    const StepRef after =
        graph.steps[static_cast<std::size_t>(graph.order[static_cast<std::size_t>(b)])];
    if (before.lane != after.lane) plan.sync_points.push_back({before, after, i % 3 - 1});
  }
  return plan;
}

}  // namespace gacer::test
