#include "search/calibration.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>

namespace gacer {
namespace {

constexpr int kFits = 6;
/// Of a step's difference that one fit takes in: what slows a step down also slows its neighbours.
constexpr double kShare = 0.5;
/// What time stamps leave in doubt: shorter steps teach little.
constexpr double kDoubtMs = 0.003;
/// No fit changes a factor by more, and no factor gets further from 1.
const double kMostLog = std::log(2.0);
const double kFarthestLog = std::log(4.0);

}  // namespace

Calibration::Key Calibration::key_of(const Step& step) const {
  const ProblemNode& node = problem_.tenants[static_cast<std::size_t>(step.tenant)]
                                .nodes[static_cast<std::size_t>(step.node)];
  return {node.signature, step.chunk.size(), step.variant};
}

double Calibration::factor(const Key& key) const {
  const auto found = logs_.find(key);
  return std::exp(found == logs_.end() ? mean_log_ : found->second);
}

ProfileRow Calibration::adjusted(ProfileRow row) const {
  const double by = factor({row.signature, row.items, row.variant});
  row.solo_ms *= by;
  row.saturated_ms *= by;
  return row;
}

bool Calibration::learn(const Plan& plan, std::span<const StepSpan> observed) {
  std::map<StepRef, double> took;
  std::set<Key> used;
  for (const StepSpan& span : observed) {
    took[span.step] = span.end_ms - span.begin_ms;
    used.insert(key_of(plan.step(span.step)));
  }
  std::vector<const ProfileRow*> own;
  for (const auto& [signature, items, variant] : used)
    for (const ProfileRow& row : rows_.rows(signature, items))
      if (row.variant == variant) own.push_back(&row);

  for (int fit = 0; fit < kFits; ++fit) {
    ProfileTable table;
    for (const ProfileRow* row : own) table.add(adjusted(*row));
    const Result<Timeline> timeline = simulate(problem_, table, plan);
    if (!timeline) return false;
    struct Sum {
      double log = 0;
      double weight = 0;
      int count = 0;
    };
    std::map<Key, Sum> sums;
    for (const StepSpan& span : timeline->steps) {
      const auto found = took.find(span.step);
      const double modelled = span.end_ms - span.begin_ms;
      if (found == took.end() || found->second <= 0 || modelled <= 0) continue;
      const double ms = found->second;
      Sum& sum = sums[key_of(plan.step(span.step))];
      sum.log += std::clamp(std::log(ms / modelled), -kMostLog, kMostLog);
      sum.weight += ms * ms / (ms * ms + kDoubtMs * kDoubtMs);
      ++sum.count;
    }
    for (const auto& [key, sum] : sums) {
      double& log = logs_.try_emplace(key, mean_log_).first->second;
      const double change = sum.log / sum.count * sum.weight / sum.count;
      log = std::clamp(log + kShare * change, -kFarthestLog, kFarthestLog);
    }
  }
  ++num_traces_;
  mean_log_ = 0;
  for (const auto& [key, log] : logs_) mean_log_ += log / static_cast<double>(logs_.size());
  return true;
}

void Calibration::apply() {
  auto version = std::make_unique<Version>(problem_);
  for (const ProfileRow& row : rows_.all())
    version->rows.add(row.rejected.empty() ? adjusted(row) : row);
  versions_.push_back(std::move(version));
}

std::string Calibration::describe() const {
  if (logs_.empty()) return "no round traced";
  double least = logs_.begin()->second;
  double most = least;
  for (const auto& [key, log] : logs_) {
    least = std::min(least, log);
    most = std::max(most, log);
  }
  return fmt::format(
      "{} rounds traced, {} variants at {:.2f} to {:.2f} of their rows (mean {:.2f})", num_traces_,
      logs_.size(), std::exp(least), std::exp(most), std::exp(mean_log_));
}

}  // namespace gacer
