#pragma once

#include <string>

#include <gacer/engine.h>

namespace gacer {

/// The `--json` form of a comparison, pretty-printed, keys in a fixed order:
/// {gacer, commit, command, device{}, foreign_load, tenants[], policies[], bounds{}, chosen,
/// guard{}, speedup{}, profile_s, plan_s}; docs/cli.md lists every field. What was not measured is
/// null. Milliseconds, seconds and bytes as the names say. `command` is the command line that was
/// run.
std::string report_json(const Comparison& comparison, const std::string& command);

}  // namespace gacer
