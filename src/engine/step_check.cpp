#include "engine/step_check.h"

#include <algorithm>

#include "base/error.h"

namespace gacer {
namespace {

constexpr std::size_t kAlignment = 256;

std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

std::byte* at(const Buffer& buffer, std::size_t offset) {
  return static_cast<std::byte*>(buffer.data()) + offset;
}

}  // namespace

StepCheck::StepCheck(Device& device, const std::vector<std::unique_ptr<PlacedTenant>>& tenants,
                     const CompiledPlan& plan)
    : device_(device), plan_(plan) {
  find_results(tenants);
  keep();
  compare_from_now();
}

void StepCheck::find_results(const std::vector<std::unique_ptr<PlacedTenant>>& tenants) {
  std::size_t bytes = 0;
  for (std::size_t s = 0; s < plan_.steps().size(); ++s) {
    const Step& step = plan_.plan().step(plan_.refs()[s]);
    const PlacedTenant& tenant = *tenants[static_cast<std::size_t>(step.tenant)];
    const KernelCall call = make_call(tenant.graph(), step.node, tenant.precision,
                                      tenant.chunk_range(step.node, step.chunk));
    for (std::size_t i = 0; i < call.outputs.size(); ++i) {
      if (call.outputs[i].is_absent) continue;
      const ValueId id = call.node.outputs[i];
      const Result<ByteRows> rows = rows_of(call.outputs[i]);
      if (!rows) fail(ErrorKind::kUnsupported, "{}", rows.reason());
      std::byte* const made =
          tenant.storage(id) + chunk_offset_bytes(tenant.graph(), id, step.chunk.begin);
      results_.push_back({s, *rows, made, bytes});
      bytes += aligned(rows->size());
    }
  }
  kept_ = device_.allocate(std::max(bytes, kAlignment));
  found_ = device_.allocate(std::max<std::size_t>(results_.size(), 1) * sizeof(RowDifference));
}

Budget StepCheck::budget_of(const ProgramStep& step) const {
  // Where a kernel is built for the size of its budget, these are built for one group.
  if (!device_.is_width_fixed()) return step.budget;
  return {step.budget.begin, step.budget.begin + 1};
}

std::vector<ProgramStep> StepCheck::with_followers(
    const std::vector<std::vector<std::unique_ptr<Capture>>>& followers, bool is_serial) const {
  std::vector<ProgramStep> steps;
  std::vector<int> ends;  // of each step of the plan: its last follower
  for (std::size_t s = 0; s < plan_.steps().size(); ++s) {
    ProgramStep step = plan_.steps()[s];
    if (is_serial) {
      step.waits_for.clear();
      if (!ends.empty()) step.waits_for.push_back(ends.back());
    } else {
      for (int& before : step.waits_for) before = ends[static_cast<std::size_t>(before)];
    }
    ProgramStep follower = step;
    follower.budget = budget_of(step);
    steps.push_back(std::move(step));
    for (const auto& capture : followers[s]) {
      follower.capture = capture.get();
      follower.waits_for = {static_cast<int>(steps.size()) - 1};
      steps.push_back(follower);
    }
    ends.push_back(static_cast<int>(steps.size()) - 1);
  }
  return steps;
}

void StepCheck::keep() {
  std::vector<std::vector<std::unique_ptr<Capture>>> copies(plan_.steps().size());
  for (const Kept& result : results_) {
    const auto kernel = device_.make_row_copy(result.rows);
    copies[result.step].push_back(
        device_.capture(*kernel, {{result.made}, {at(*kept_, result.begin)}, nullptr}));
  }
  const auto program = device_.assemble(with_followers(copies, /*is_serial=*/true));
  const RoundWatch::Round watched = plan_.watch_round();
  program->run();
}

void StepCheck::compare_from_now() {
  comparisons_.resize(plan_.steps().size());
  for (std::size_t i = 0; i < results_.size(); ++i) {
    const Kept& result = results_[i];
    const auto kernel = device_.make_row_comparison(result.rows);
    comparisons_[result.step].push_back(
        device_.capture(*kernel, {{result.made, at(*kept_, result.begin)},
                                  {at(*found_, i * sizeof(RowDifference))},
                                  nullptr}));
  }
  program_ = device_.assemble(with_followers(comparisons_, /*is_serial=*/false));
}

std::vector<bool> StepCheck::find_followers(const std::vector<bool>& differing) const {
  std::vector<bool> follows(differing.size(), false);
  for (std::size_t s = 0; s < differing.size(); ++s)
    for (const int before : plan_.steps()[s].waits_for) {
      const auto b = static_cast<std::size_t>(before);
      if (differing[b] || follows[b]) follows[s] = true;
    }
  return follows;
}

std::vector<StepDifference> StepCheck::run(int rounds) {
  std::vector<RowDifference> found(results_.size());
  const std::size_t bytes = found.size() * sizeof(RowDifference);
  device_.upload(found_->data(), found.data(), bytes);
  for (int round = 0; round < rounds; ++round) {
    const RoundWatch::Round watched = plan_.watch_round();
    program_->run();
  }
  device_.download(found.data(), found_->data(), bytes);
  std::vector<bool> differing(plan_.steps().size(), false);
  for (std::size_t i = 0; i < results_.size(); ++i)
    if (found[i].bytes > 0) differing[results_[i].step] = true;
  const std::vector<bool> follows = find_followers(differing);
  std::vector<StepDifference> differences;
  for (std::size_t i = 0; i < results_.size(); ++i) {
    if (found[i].bytes == 0 || follows[results_[i].step]) continue;
    StepDifference difference;
    difference.step = plan_.refs()[results_[i].step];
    difference.bytes = static_cast<std::int64_t>(found[i].bytes);
    difference.first = static_cast<std::int64_t>(found[i].first);
    difference.last = static_cast<std::int64_t>(found[i].last);
    difference.size = static_cast<std::int64_t>(results_[i].rows.size());
    differences.push_back(difference);
  }
  return differences;
}

}  // namespace gacer
