#pragma once

#include <string>
#include <vector>

#include "search/session.h"

namespace gacer {

/// One way to run a round with a name for notes.
struct NamedDraft {
  std::string name;
  Draft draft;
};

/// A rated candidate.
struct Candidate {
  std::string name;
  Draft draft;
  Plan plan;
  double model_ms = 0;
};

/// One tenant after the other, each node by its fastest row of any width.
NamedDraft make_sequential_draft(const Problem& problem, const ProfileTable& rows);

/// All tenants at once, each node by its fastest row: as one merged program, and free-running.
std::vector<NamedDraft> make_streams_drafts(const Problem& problem, const ProfileTable& rows);

/// Static splits of the groups among the tenants, at least 20 where the device and the tenants
/// allow as many: each tenant keeps to an interval; tenants on one interval take turns or share.
std::vector<NamedDraft> make_partition_drafts(const Problem& problem, const ProfileTable& rows);

/// Puts every node of a tenant on groups [begin, end), by the fastest row that fits. False when a
/// node has none.
bool place_tenant(const Problem& problem, const ProfileTable& rows, int tenant, Budget budget,
                  TenantDraft& draft);

/// Sync points that start `after`'s first nodes when `before` is done.
void add_turn(const Problem& problem, int before, int after, Draft& draft);

/// Rates drafts on the model; those that are impossible are left out. Best first.
std::vector<Candidate> rate_all(Session& session, std::vector<NamedDraft> drafts);

/// The best of the candidates: by the device if it may measure (the first `finalists` by the
/// model), else by the model. Notes say what was compared. Precondition: not empty.
Plan choose(Session& session, const std::vector<Candidate>& candidates, std::size_t finalists);

/// Rated drafts of the three simple policies, best first by the model. Never empty.
std::vector<Candidate> rate_simple(Session& session);

}  // namespace gacer
