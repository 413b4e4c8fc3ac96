#pragma once

#include <string>
#include <vector>

#include "search/simple_drafts.h"

namespace gacer {

/// The best candidate of each family (kind of plan) that a search has met. The model is not exact:
/// what is measured in the end should differ in more than a detail.
class Pool {
 public:
  /// Keeps the candidate when it is the best of its family (its name).
  void add(Candidate candidate);
  /// Best first by the model. Equal plans once.
  std::vector<Candidate> best_first() const;
  bool empty() const { return candidates_.empty(); }
  /// Precondition: not empty.
  const Candidate& best() const;

 private:
  std::vector<Candidate> candidates_;
};

}  // namespace gacer
