#pragma once

#include "search/knobs.h"
#include "search/pool.h"
#include "search/session.h"

namespace gacer {

/// Searches list schedules for devices whose variants are tied to their width: which tenants run
/// on all cores, which runs of nodes do, in what order tenants take a core. Needs the budgets knob;
/// cuts batches with the chunks knob, picks other variants with variants, pins orders with syncs.
/// Uses what the session may evaluate; adds the best schedule of each family to the pool.
void search_gangs(Session& session, const Knobs& knobs, Pool& pool);

}  // namespace gacer
