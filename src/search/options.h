#pragma once

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "plan/problem.h"
#include "profile/profile.h"

namespace gacer {

/// One variant for a node's chunk on a width.
struct Option {
  const ProfileRow* row = nullptr;
  double solo_ms = 0;
  double area_ms = 0;
};

/// The variants worth trying, by node, chunk size and width: none that another beats in both solo
/// time and area. Remembers what it found. Not thread-safe.
class Options {
 public:
  Options(const Problem& problem, const ProfileTable& rows) : problem_(problem), rows_(rows) {}

  /// Fastest solo first; empty when there are no rows.
  const std::vector<Option>& find(const ProblemNode& node, std::int64_t items, int width);

  /// The row with the smallest blend·solo + (1 - blend)·area (areas as if alone on the width), or
  /// nullptr.
  const ProfileRow* blended(const ProblemNode& node, std::int64_t items, int width, double blend);

 private:
  const Problem& problem_;
  const ProfileTable& rows_;
  std::map<std::tuple<std::string, std::int64_t, int>, std::vector<Option>> found_;
};

}  // namespace gacer
