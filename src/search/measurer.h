#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "search/calibration.h"
#include "search/knobs.h"
#include "search/pool.h"
#include "search/session.h"

namespace gacer {

/// Measures the best of each family and of each simple policy, the close ones twice, and in the end
/// changes of the best: one coordinate after the other, then at random, as far as the model does
/// not advise against them.
class Measurer {
 public:
  /// References outlive the measurer.
  Measurer(Session& session, const Knobs& knobs) : session_(session), knobs_(knobs) {}

  /// Up to `count` of both that are new. Until now one of them is not empty.
  void measure(const std::vector<Candidate>& simple, const std::vector<Candidate>& regulated,
               std::size_t count);
  /// Teaches the calibration how the best plans run that were not traced before, and applies it.
  /// False when there was nothing to learn.
  bool calibrate(Calibration& calibration);
  /// The fastest merged one, rated by the session's model.
  std::optional<Candidate> best_merged();
  /// The fastest, after changes, rated by the session's model; nothing when nothing could be
  /// measured.
  std::optional<Candidate> finish();

  /// What was measured, for the plan's notes.
  const std::string& log() const { return log_; }

 private:
  struct Finalist {
    Candidate candidate;
    double ms = 0;  ///< smallest measured; 0: none yet
    int count = 0;  ///< of measurements
    bool is_traced = false;
  };

  static bool is_merged(const Finalist& finalist) {
    return finalist.candidate.draft.mode == LaunchMode::kMerged;
  }
  void choose_finalists(const std::vector<Candidate>& simple,
                        const std::vector<Candidate>& regulated, std::size_t count);
  void add(const Candidate& candidate);
  void measure(Finalist& finalist);
  /// Of those measured; nullptr when there is none.
  const Finalist* fastest(bool of_merged = false) const;
  Candidate rated(Candidate candidate);
  Candidate change(const Candidate& winner);
  void note(const std::string& what, double ms);

  Session& session_;
  Knobs knobs_;
  std::vector<Finalist> finalists_;
  std::string log_;
};

}  // namespace gacer
