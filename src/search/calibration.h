#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "cost/model.h"
#include "plan/evaluator.h"
#include "plan/problem.h"
#include "profile/profile.h"

namespace gacer {

/// Profile rows put right by what steps took in traced rounds. Rows are measured alone or beside
/// copies of themselves; a search prefers those that look better than they are. Here each variant
/// that ran gets a factor for its times, such that the model's round becomes the traced one, and
/// those that did not run get the mean: they are worth trying.
class Calibration {
 public:
  /// References outlive the calibration.
  Calibration(const Problem& problem, const ProfileTable& rows) : problem_(problem), rows_(rows) {}

  /// `observed`: when each of the plan's steps ran. False when the rows lack one of its variants.
  bool learn(const Plan& plan, std::span<const StepSpan> observed);
  /// Makes rows() and model() of what was learnt. Those from before stay valid: drafts point to
  /// their rows.
  void apply();

  /// Precondition: apply() was called.
  const ProfileTable& rows() const { return versions_.back()->rows; }
  Evaluator& model() const { return versions_.back()->model; }

  /// "7 rounds traced, 312 variants at .71 to 2.2 of their rows (mean 1.16)"
  std::string describe() const;

 private:
  struct Version {
    explicit Version(const Problem& problem) : model(problem, rows) {}
    ProfileTable rows;
    ModelEvaluator model;
  };
  /// Signature, items, variant.
  using Key = std::tuple<std::string, std::int64_t, std::string>;

  Key key_of(const Step& step) const;
  double factor(const Key& key) const;
  ProfileRow adjusted(ProfileRow row) const;

  const Problem& problem_;
  const ProfileTable& rows_;
  std::map<Key, double> logs_;  ///< of factors
  double mean_log_ = 0;
  int num_traces_ = 0;
  std::vector<std::unique_ptr<Version>> versions_;
};

}  // namespace gacer
