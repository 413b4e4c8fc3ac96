#pragma once

#include <cstdint>
#include <vector>

#include "search/draft.h"

namespace gacer {

/// How a node uses cores.
enum class NodeMode : std::uint8_t {
  kOne,    ///< one core, beside other tenants
  kAll,    ///< all cores work on it together
  kSplit,  ///< its batch cut into chunks, one a core
};

/// What a schedule is made from; the schedule follows by list scheduling.
struct GangGenome {
  std::vector<std::vector<NodeMode>> modes;  ///< [tenant][node]
  /// A core stays with its tenant until another has so much more left to do (share of its own).
  double stickiness = 0.3;
  std::vector<double> bias;  ///< [tenant]: weight of its remaining time in the choice who runs
  /// Rows by the smallest blend·solo + (1 - blend)·area.
  double blend = 1;
  /// Keep the order of tenants on each core by sync points; otherwise the device takes what is
  /// ready.
  bool is_pinned = false;
};

/// Draws schedules for devices whose variants are tied to their width (CPU cores): steps of
/// different tenants side by side on single cores, steps on all cores (or chunks side by side)
/// where that is better or nothing else is left to run. The tenant with the most left to do goes
/// first.
class GangScheduler {
 public:
  GangScheduler(const Problem& problem, const ProfileTable& rows);

  bool can(int tenant, int node, NodeMode mode) const;
  /// Milliseconds of a node in a mode when nothing runs beside it; 0 when it cannot.
  double length_ms(int tenant, int node, NodeMode mode) const;
  /// kAll or kSplit, whichever is shorter of those allowed; kOne when neither can.
  NodeMode best_gang(int tenant, int node, bool may_split) const;

  /// Modes that a node cannot take become ones that it can.
  Draft schedule(const GangGenome& genome, bool may_split) const;

 private:
  struct Way {
    std::vector<Piece> pieces;  ///< empty: impossible
    double length_ms = 0;
  };
  struct NodeWays {
    Way ways[3];
  };
  class Run;

  void add_node(const ProblemNode& node, double blend, NodeWays& ways) const;
  const NodeWays& ways(int tenant, int node, double blend) const;

  const Problem& problem_;
  const ProfileTable& rows_;
  int num_cores_;
  /// [blend: 0 area, 1 half, 2 solo][tenant][node]
  std::vector<std::vector<std::vector<NodeWays>>> tables_;
};

}  // namespace gacer
