#include <algorithm>

#include "plan/problem.h"

namespace gacer {

std::vector<std::int64_t> chunk_sizes(const ProblemNode& node) {
  std::vector<std::int64_t> sizes{node.batch};
  if (!node.is_splittable()) return sizes;
  for (std::int64_t pieces = 2; pieces <= 8 && pieces <= node.batch; pieces *= 2) {
    sizes.push_back((node.batch + pieces - 1) / pieces);
    sizes.push_back(node.batch / pieces);
  }
  std::sort(sizes.begin(), sizes.end(), std::greater<>());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  return sizes;
}

}  // namespace gacer
