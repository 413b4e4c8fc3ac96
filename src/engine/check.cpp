#include "engine/check.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>

#include "base/dtype.h"
#include "base/error.h"
#include "base/parallel.h"
#include "engine/inputs.h"
#include "plan/followers.h"

namespace gacer {
namespace {

/// An element as a number. Half-precision ones come from a table: outputs have millions of them.
template <typename T>
double number(const T& x) {
  if constexpr (std::is_same_v<T, Half>) {
    static const std::vector<float> table = [] {
      std::vector<float> values(1 << 16);
      for (std::size_t bits = 0; bits < values.size(); ++bits) {
        Half half;
        half.bits = static_cast<std::uint16_t>(bits);
        values[bits] = static_cast<float>(half);
      }
      return values;
    }();
    return table[x.bits];
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16);
  } else {
    return static_cast<double>(x);
  }
}

/// Whether every element still is what poison left.
bool is_unwritten(const Tensor& tensor) {
  if (tensor.size_bytes() == 0 || !is_float(tensor.dtype())) return false;
  const std::byte* begin = tensor.bytes();
  return std::all_of(begin, begin + tensor.size_bytes(),
                     [](std::byte byte) { return byte == std::byte{kPoison}; });
}

std::int64_t count_not_finite(const Tensor& tensor) {
  if (!is_float(tensor.dtype())) return 0;
  return dispatch_dtype(tensor.dtype(), [&](auto tag) -> std::int64_t {
    const auto values = tensor.data<decltype(tag)>();
    return std::count_if(values.begin(), values.end(),
                         [](const auto& x) { return !std::isfinite(number(x)); });
  });
}

bool is_same_special(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || (std::isinf(a) && a == b);
}

}  // namespace

double tolerance(Precision precision) {
  switch (precision) {
    case Precision::kF32:
      return 1e-4;
    case Precision::kTF32:
      return 5e-3;
    case Precision::kF16:
      return 2e-2;
    case Precision::kBF16:
      return 4e-2;
  }
  fail(ErrorKind::kInternal, "bad precision {}", static_cast<int>(precision));
}

namespace {

/// The largest difference, where it is, and the largest finite expected number.
struct Difference {
  double largest = 0;
  std::size_t worst = 0;
  double scale = 0;
};

template <typename T>
Difference find_difference_in(std::span<const T> a, std::span<const T> b, std::size_t begin,
                              std::size_t end) {
  Difference found;
  for (std::size_t i = begin; i < end; ++i) {
    const double expected = number(b[i]);
    const double size = std::abs(expected);
    if (size > found.scale && std::isfinite(size)) found.scale = size;
    const double actual = number(a[i]);
    const double difference = std::abs(actual - expected);
    if (difference <= found.largest || is_same_special(actual, expected)) continue;
    found.largest =
        std::isfinite(difference) ? difference : std::numeric_limits<double>::infinity();
    found.worst = i;
  }
  return found;
}

/// Large tensors by several threads: a profile compares every variant's result.
template <typename T>
Difference find_difference(std::span<const T> a, std::span<const T> b) {
  constexpr std::size_t kElementsOfThread = std::size_t{1} << 18;
  const std::size_t count = std::clamp<std::size_t>(a.size() / kElementsOfThread, 1,
                                                    static_cast<std::size_t>(count_cores()));
  std::vector<Difference> parts(count);
  ThreadTeam(static_cast<int>(count)).run([&](int member) {
    const auto part = static_cast<std::size_t>(member);
    parts[part] = find_difference_in(a, b, a.size() * part / count, a.size() * (part + 1) / count);
  });
  Difference total = parts[0];
  for (const Difference& part : parts) {
    total.scale = std::max(total.scale, part.scale);
    if (part.largest > total.largest) {
      total.largest = part.largest;
      total.worst = part.worst;
    }
  }
  return total;
}

}  // namespace

CheckResult compare_tensors(const Tensor& actual, const Tensor& expected, double tolerance) {
  require(actual.dtype() == expected.dtype() && actual.shape() == expected.shape(),
          "comparing {}{} with {}{}", to_string(actual.dtype()), actual.shape().to_string(),
          to_string(expected.dtype()), expected.shape().to_string());
  CheckResult result;
  if (actual.size_bytes() == 0 ||
      std::memcmp(actual.bytes(), expected.bytes(), actual.size_bytes()) == 0) {
    result.outputs_match = !is_unwritten(expected);
    if (!result.outputs_match) result.worst = "never written";
    return result;
  }
  dispatch_dtype(actual.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const std::span<const T> a = actual.data<T>();
    const std::span<const T> b = expected.data<T>();
    const Difference found = find_difference(a, b);
    result.max_rel_error = found.largest / (found.scale == 0 ? 1 : found.scale);
    result.worst = fmt::format("element {}: {}, expected {}", found.worst, number(a[found.worst]),
                               number(b[found.worst]));
  });
  result.outputs_match = result.max_rel_error <= tolerance;
  return result;
}

Tolerances make_tolerances(const std::vector<std::unique_ptr<PlacedTenant>>& tenants) {
  Tolerances tolerances;
  for (const auto& tenant : tenants)
    tolerances.emplace_back(tenant->graph().outputs.size(), tolerance(tenant->precision));
  return tolerances;
}

CheckResult compare_outputs(const std::vector<std::unique_ptr<PlacedTenant>>& tenants,
                            const RoundOutputs& actual, const RoundOutputs& expected,
                            const Tolerances& tolerances) {
  CheckResult total;
  total.outputs_match = true;
  for (std::size_t t = 0; t < tenants.size(); ++t) {
    const Graph& graph = tenants[t]->graph();
    for (std::size_t k = 0; k < graph.outputs.size(); ++k) {
      const CheckResult one = compare_tensors(actual[t][k], expected[t][k], tolerances[t][k]);
      if (total.worst.empty() || (total.outputs_match && !one.outputs_match) ||
          one.max_rel_error > total.max_rel_error)
        total.worst = fmt::format("tenant '{}', output '{}', {}", tenants[t]->info.name,
                                  graph.value(graph.outputs[k]).name, one.worst);
      total.outputs_match = total.outputs_match && one.outputs_match;
      total.max_rel_error = std::max(total.max_rel_error, one.max_rel_error);
    }
  }
  return total;
}

Checker::Checker(Device& device, const std::vector<std::unique_ptr<PlacedTenant>>& tenants,
                 std::uint64_t seed)
    : device_(device), tenants_(tenants), seed_(seed), tolerances_(make_tolerances(tenants)) {}

void Checker::poison(std::span<const std::shared_ptr<Buffer>> workspaces) {
  for (const auto& tenant : tenants_)
    device_.fill(tenant->arena->data(), kPoison, tenant->arena->size());
  for (const auto& workspace : workspaces)
    device_.fill(workspace->data(), kPoison, workspace->size());
}

template <typename Run>
CheckResult Checker::check_round(const Round& round,
                                 std::span<const std::shared_ptr<Buffer>> workspaces, Run run) {
  poison(workspaces);
  upload_inputs(device_, tenants_, round.inputs);
  run();
  return compare_outputs(tenants_, download_outputs(device_, tenants_), round.outputs, tolerances_);
}

RoundOutputs Checker::run_poisoned(CompiledPlan& plan, const RoundInputs& inputs) {
  poison(plan.workspaces());
  upload_inputs(device_, tenants_, inputs);
  plan.run();
  return download_outputs(device_, tenants_);
}

void Checker::set_reference(CompiledPlan& baseline, int num_rounds) {
  rounds_.clear();
  std::vector<Round> rounds;
  for (int i = 0; i < num_rounds; ++i) {
    Round round;
    round.inputs = make_random_inputs(tenants_, seed_ * 1009 + static_cast<std::uint64_t>(i) + 1);
    round.outputs = run_poisoned(baseline, round.inputs);
    for (std::size_t t = 0; t < tenants_.size(); ++t)
      for (std::size_t k = 0; k < round.outputs[t].size(); ++k)
        require(!is_unwritten(round.outputs[t][k]),
                "the baseline plan leaves output '{}' of tenant '{}' unwritten",
                tenants_[t]->graph().value(tenants_[t]->graph().outputs[k]).name,
                tenants_[t]->info.name);
    rounds.push_back(std::move(round));
  }
  rounds_ = std::move(rounds);
}

std::vector<std::string> Checker::find_overflows() const {
  std::vector<std::string> sentences;
  for (std::size_t t = 0; t < tenants_.size(); ++t) {
    const PlacedTenant& tenant = *tenants_[t];
    for (std::size_t k = 0; k < tenant.graph().outputs.size(); ++k) {
      std::int64_t count = 0;
      std::int64_t total = 0;
      for (const Round& round : rounds_) {
        count += count_not_finite(round.outputs[t][k]);
        total += round.outputs[t][k].num_elements();
      }
      if (count == 0) continue;
      sentences.push_back(fmt::format(
          "output '{}' of tenant '{}': {} of {} numbers are infinite or no numbers in {}, and "
          "comparing plans tells nothing about those",
          tenant.graph().value(tenant.graph().outputs[k]).name, tenant.info.name, count, total,
          to_string(tenant.precision)));
    }
  }
  return sentences;
}

std::vector<std::string> Checker::measure_conditioning(CompiledPlan& baseline) {
  require(has_reference(), "measure_conditioning() before set_reference()");
  constexpr double kMargin = 2;
  has_conditioning_ = true;
  Tolerances changes;  // without the margin
  for (const auto& tenant : tenants_) changes.emplace_back(tenant->graph().outputs.size(), 0.0);
  std::uint64_t seed = seed_;
  for (const Round& round : rounds_) {
    RoundInputs inputs;
    for (std::size_t t = 0; t < tenants_.size(); ++t) {
      inputs.emplace_back();
      for (const Tensor& input : round.inputs[t])
        inputs.back().push_back(nudge(input, tenants_[t]->precision, ++seed));
    }
    const RoundOutputs outputs = run_poisoned(baseline, inputs);
    for (std::size_t t = 0; t < outputs.size(); ++t)
      for (std::size_t k = 0; k < outputs[t].size(); ++k)
        changes[t][k] = std::max(
            changes[t][k],
            compare_tensors(outputs[t][k], round.outputs[t][k], tolerances_[t][k]).max_rel_error);
  }
  std::vector<std::string> sentences;
  for (std::size_t t = 0; t < tenants_.size(); ++t) {
    const PlacedTenant& tenant = *tenants_[t];
    for (std::size_t k = 0; k < changes[t].size(); ++k) {
      const double most = kMaxWidening * tolerance(tenant.precision);
      const double wide = std::min(kMargin * changes[t][k], most);
      if (wide <= tolerances_[t][k]) continue;
      tolerances_[t][k] = wide;
      sentences.push_back(fmt::format(
          "output '{}' of tenant '{}' changes by {:.1e} of its scale when its inputs are "
          "rounded to {} differently: plans whose outputs differ by no more than {:.1e} count as "
          "equal",
          tenant.graph().value(tenant.graph().outputs[k]).name, tenant.info.name, changes[t][k],
          to_string(tenant.precision), wide));
    }
  }
  return sentences;
}

CheckResult Checker::check(CompiledPlan& compiled) {
  require(has_reference(), "check() before set_reference()");
  CheckResult worst;
  worst.outputs_match = true;
  const auto merge = [&](const CheckResult& one, const std::string& how) {
    if (one.outputs_match && one.max_rel_error <= worst.max_rel_error) return;
    if (worst.outputs_match || !one.outputs_match) worst.worst = one.worst + how;
    worst.outputs_match = worst.outputs_match && one.outputs_match;
    worst.max_rel_error = std::max(worst.max_rel_error, one.max_rel_error);
  };
  for (const Round& round : rounds_)
    merge(check_round(round, compiled.workspaces(), [&] { compiled.run(); }), "");
  std::set<int> lanes;
  for (const ProgramStep& step : compiled.steps()) lanes.insert(step.lane);
  for (const int lane : lanes) {
    const RoundWatch::Round watched = compiled.watch_round();
    merge(check_steps(make_adversarial_order(compiled.steps(), lane), compiled.workspaces()),
          fmt::format(" (with lane {} as late as its edges allow)", lane));
  }
  return worst;
}

CheckResult Checker::check_steps(std::span<const ProgramStep> steps,
                                 std::span<const std::shared_ptr<Buffer>> workspaces) {
  require(has_reference(), "check_steps() before set_reference()");
  const std::unique_ptr<Program> program = device_.assemble(steps);
  return check_round(rounds_.back(), workspaces, [&] { program->run(); });
}

std::vector<ProgramStep> make_adversarial_order(std::span<const ProgramStep> steps, int late_lane) {
  std::vector<int> pending;
  const Followers followers(steps, &ProgramStep::waits_for);
  std::set<int> ready_early;
  std::set<int> ready_late;
  const auto make_ready = [&](int i) {
    (steps[static_cast<std::size_t>(i)].lane == late_lane ? ready_late : ready_early).insert(i);
  };
  for (std::size_t i = 0; i < steps.size(); ++i) {
    pending.push_back(static_cast<int>(steps[i].waits_for.size()));
    if (pending.back() == 0) make_ready(static_cast<int>(i));
  }
  std::vector<ProgramStep> result;
  while (!ready_early.empty() || !ready_late.empty()) {
    int next = 0;
    if (!ready_early.empty()) {
      next = *ready_early.begin();
      ready_early.erase(ready_early.begin());
    } else {
      next = *ready_late.rbegin();
      ready_late.erase(next);
    }
    result.push_back(steps[static_cast<std::size_t>(next)]);
    result.back().waits_for.clear();
    if (result.size() > 1) result.back().waits_for.push_back(static_cast<int>(result.size()) - 2);
    for (const int after : followers.of(next))
      if (--pending[static_cast<std::size_t>(after)] == 0) make_ready(after);
  }
  require(result.size() == steps.size(), "the edges of {} steps have a cycle", steps.size());
  return result;
}

}  // namespace gacer
