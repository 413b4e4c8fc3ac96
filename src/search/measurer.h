#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "search/knobs.h"
#include "search/pool.h"
#include "search/session.h"

namespace gacer {

/// Measures the best of each family and of each simple policy, the close ones twice, then changes
/// of the best: one coordinate after the other, then at random, as far as the model does not advise
/// against them.
class Measurer {
 public:
  /// References outlive the measurer.
  Measurer(Session& session, const Knobs& knobs) : session_(session), knobs_(knobs) {}

  /// The fastest. `regulated` is not empty; its first is returned when nothing could be measured.
  Candidate run(const std::vector<Candidate>& simple, const std::vector<Candidate>& regulated);

  /// What was measured, for the plan's notes.
  const std::string& log() const { return log_; }

 private:
  struct Finalist {
    Candidate candidate;
    double ms = 0;  ///< smallest measured; 0: none yet
  };

  void choose_finalists(const std::vector<Candidate>& simple,
                        const std::vector<Candidate>& regulated);
  void add(const Candidate& candidate);
  void measure(Finalist& finalist);
  /// Of those measured; nullptr when there is none.
  const Finalist* fastest(bool of_merged = false) const;
  Candidate change(const Candidate& winner);
  void note(const std::string& what, double ms);

  Session& session_;
  Knobs knobs_;
  std::vector<Finalist> finalists_;
  std::string log_;
};

}  // namespace gacer
