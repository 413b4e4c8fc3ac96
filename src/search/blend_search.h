#pragma once

#include "search/knobs.h"
#include "search/pool.h"
#include "search/session.h"

namespace gacer {

/// Constructs plans for devices whose steps share groups (GPU): all tenants at once, every node by
/// the variant with the smallest blend of solo time and area, for a sweep of blends; and the same
/// with one tenant kept at its fastest variants, ahead of the others with the priorities knob. Each
/// blend is a family of the pool, so that the device can judge.
void search_blends(Session& session, const Knobs& knobs, Pool& pool);

}  // namespace gacer
