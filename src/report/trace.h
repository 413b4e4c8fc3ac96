#pragma once

#include <string>

#include <gacer/engine.h>

namespace gacer {

/// Trace events (JSON) of every policy's traced round, for Perfetto or chrome://tracing: a process
/// a policy, in it a track per core or SM group and a track per tenant. Steps that overlap on a
/// track go to further tracks of the same name.
std::string report_trace(const Comparison& comparison);

}  // namespace gacer
