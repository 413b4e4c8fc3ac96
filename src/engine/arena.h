#pragma once

#include <cstdint>
#include <vector>

#include "graph/graph.h"

namespace gacer {

/// Where the values of one tenant lie in its arena. A plain value; offsets never change afterwards.
struct ArenaPlan {
  static constexpr std::int64_t kAlignment = 64;
  /// Per value: byte offset of its first element, or -1 for constants. A part of another value lies
  /// inside of it, a view of another value at its place.
  std::vector<std::int64_t> offsets;
  std::int64_t bytes = 0;
};

/// Gives every value that is not a constant its place. Values whose lives in the graph's execution
/// order do not overlap share bytes; inputs and outputs keep theirs for good.
ArenaPlan plan_arena(const Graph& graph);

/// Bytes of a dense value in its layout.
std::int64_t value_bytes(const Value& value);

}  // namespace gacer
