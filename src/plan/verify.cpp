#include "plan/verify.h"

#include <algorithm>
#include <string>
#include <tuple>

#include "base/device_id.h"
#include "base/error.h"
#include "plan/describe.h"
#include "plan/memory.h"
#include "plan/reach.h"

namespace gacer {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

template <typename T>
void expect_equal(const std::string& tenant, const char* what, const T& in_plan, const T& here) {
  if (in_plan != here) {
    fail(ErrorKind::kPlan, "tenant '{}': the plan was made for {} '{}', here it is '{}'", tenant,
         what, in_plan, here);
  }
}

/// What to do about a plan of another device.
std::string advise(const std::string& of_plan, const std::string& here) {
  const DeviceId made_for = parse_device_id(of_plan);
  const DeviceId own = parse_device_id(here);
  if (made_for.kind == "sim" && own.kind != "sim")
    return "name that device's recording with --device sim:FILE";
  if (made_for.kind == "cuda" && own.kind == "cpu") return "add --device cuda";
  const std::string versions =
      made_for.is_same_device(own) ? describe_versions(made_for, own) : std::string();
  return fmt::format("{}search a plan for this one (`gacer plan`)",
                     versions.empty() ? "" : "it was made with " + versions + ": ");
}

void verify_tenant(const PlanTenant& made_for, const PlanTenant& here, int repeat) {
  expect_equal(here.name, "mode", made_for.mode, here.mode);
  if (made_for.precision != here.precision)
    fail(ErrorKind::kPlan,
         "tenant '{}': the plan was made for precision '{}', here it is '{}'; add --precision {}",
         here.name, made_for.precision, here.precision, made_for.precision);
  expect_equal(here.name, "batch", made_for.batch, here.batch);
  expect_equal(here.name, "repeat", made_for.repeat, repeat);
  const std::size_t nodes = std::min(made_for.node_names.size(), here.node_names.size());
  for (std::size_t i = 0; i < nodes; ++i) {
    if (made_for.node_names[i] != here.node_names[i] ||
        made_for.node_signatures[i] != here.node_signatures[i]) {
      fail(ErrorKind::kPlan,
           "tenant '{}': node {} of the plan is '{}' (signature {}), here it is '{}' ({})",
           here.name, i, made_for.node_names[i], made_for.node_signatures[i], here.node_names[i],
           here.node_signatures[i]);
    }
  }
  expect_equal(here.name, "a number of nodes of", made_for.node_names.size(),
               here.node_names.size());
  expect_equal(here.name, "a graph with fingerprint", made_for.fingerprint, here.fingerprint);
}

void verify_identity(const Problem& problem, const Plan& plan) {
  if (plan.device_id != problem.device.profile_id()) {
    const std::string here = problem.device.profile_id();
    fail(ErrorKind::kPlan, "the plan was made for device '{}', this is '{}'; {}", plan.device_id,
         here, advise(plan.device_id, here));
  }
  if (plan.num_groups != problem.device.num_groups) {
    fail(ErrorKind::kPlan, "the plan was made for {} groups, the device has {}", plan.num_groups,
         problem.device.num_groups);
  }
  if (plan.tenants.size() != problem.tenants.size()) {
    fail(ErrorKind::kPlan, "the plan was made for {} tenants, there are {}", plan.tenants.size(),
         problem.tenants.size());
  }
  for (std::size_t i = 0; i < plan.tenants.size(); ++i) {
    verify_tenant(plan.tenants[i], problem.tenants[i].identity, problem.tenants[i].repeat);
  }
}

void verify_step(const Problem& problem, const Plan& plan, StepRef ref) {
  const Step& step = plan.step(ref);
  const ProblemNode& node = problem.tenants[at(step.tenant)].nodes[at(step.node)];
  if (step.chunk.size() < node.batch && !node.is_splittable()) {
    fail(ErrorKind::kPlan, "{}: the node cannot be cut: {}", describe(plan, ref),
         node.no_split_reason.empty() ? "its batch is 1" : node.no_split_reason);
  }
  if (step.budget.begin < 0 || step.budget.end < 0 ||
      (!step.budget.is_all() && step.budget.end > problem.device.num_groups)) {
    fail(ErrorKind::kPlan, "{}: budget [{}, {}) is not on the device's {} groups",
         describe(plan, ref), step.budget.begin, step.budget.end, problem.device.num_groups);
  }
  if (step.variant.empty()) fail(ErrorKind::kPlan, "{}: no variant", describe(plan, ref));
}

/// Every item of every node of every iteration exactly once.
void verify_coverage(const Problem& problem, const Plan& plan, const StepGraph& graph) {
  std::vector<StepRef> steps = graph.steps;
  const auto key = [&](StepRef ref) {
    const Step& step = plan.step(ref);
    return std::tuple(step.tenant, step.iteration, step.node, step.chunk.begin);
  };
  std::sort(steps.begin(), steps.end(), [&](StepRef a, StepRef b) { return key(a) < key(b); });
  std::size_t next = 0;
  for (std::size_t t = 0; t < problem.tenants.size(); ++t) {
    const ProblemTenant& tenant = problem.tenants[t];
    for (int iteration = 0; iteration < tenant.repeat; ++iteration) {
      for (std::size_t n = 0; n < tenant.nodes.size(); ++n) {
        const std::int64_t batch = tenant.nodes[n].batch;
        std::int64_t covered = 0;
        while (next < steps.size()) {
          const Step& step = plan.step(steps[next]);
          if (at(step.tenant) != t || step.iteration != iteration || at(step.node) != n) break;
          if (step.chunk.begin < covered) {
            fail(ErrorKind::kPlan, "{}: items [{}, {}) are computed twice",
                 describe(plan, steps[next]), step.chunk.begin, std::min(covered, step.chunk.end));
          }
          if (step.chunk.begin > covered) break;
          covered = step.chunk.end;
          ++next;
        }
        if (covered != batch) {
          fail(ErrorKind::kPlan,
               "tenant '{}' node {} '{}' iteration {}: no step computes item {} of {}",
               tenant.identity.name, n, tenant.nodes[n].name, iteration, covered, batch);
        }
      }
    }
  }
}

void verify_memory(const Problem& problem, const Plan& plan, const StepGraph& graph) {
  const Reach reach(graph);
  for_each_conflict(problem, plan, graph, [&](const Conflict& conflict) {
    if (reach.is_before(conflict.first, conflict.second)) return;
    const bool is_reversed = reach.is_before(conflict.second, conflict.first);
    fail(ErrorKind::kPlan, "{} and {} touch the same bytes (offset {}), one of them writes, and {}",
         describe(plan, graph.steps[at(conflict.first)]),
         describe(plan, graph.steps[at(conflict.second)]), conflict.offset,
         is_reversed ? "they are the other way round" : "nothing orders them");
  });
}

}  // namespace

void verify_plan(const Problem& problem, const Plan& plan) {
  verify_identity(problem, plan);
  const StepGraph graph = make_step_graph(problem, plan);
  for (StepRef ref : graph.steps) verify_step(problem, plan, ref);
  verify_coverage(problem, plan, graph);
  verify_memory(problem, plan, graph);
}

}  // namespace gacer
