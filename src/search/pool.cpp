#include "search/pool.h"

#include <algorithm>
#include <utility>

namespace gacer {

void Pool::add(Candidate candidate) {
  for (Candidate& known : candidates_) {
    if (known.name != candidate.name) continue;
    if (candidate.model_ms < known.model_ms) known = std::move(candidate);
    return;
  }
  candidates_.push_back(std::move(candidate));
}

std::vector<Candidate> Pool::best_first() const {
  std::vector<Candidate> sorted;
  for (const Candidate& candidate : candidates_) {
    const bool is_known = std::any_of(sorted.begin(), sorted.end(), [&](const Candidate& other) {
      return other.plan == candidate.plan;
    });
    if (!is_known) sorted.push_back(candidate);
  }
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Candidate& a, const Candidate& b) { return a.model_ms < b.model_ms; });
  return sorted;
}

const Candidate& Pool::best() const {
  return *std::min_element(
      candidates_.begin(), candidates_.end(),
      [](const Candidate& a, const Candidate& b) { return a.model_ms < b.model_ms; });
}

}  // namespace gacer
