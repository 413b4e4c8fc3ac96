#pragma once

#include <string>

#include <gacer/engine.h>

#include "tools/gacer/options.h"
#include "tools/gacer/session.h"

namespace gacer::cli {

/// Writes text to a file, or to the standard output when the path is "-".
void write_result(const std::string& path, const std::string& text);

/// Prints the table and writes the files that the options ask for, outputs included. Returns the
/// exit code: 0, or 1 when a plan's outputs differ from the sequential plan's (said on stderr).
int report_comparison(Session& session, const Comparison& comparison,
                      const std::string& command_line);

}  // namespace gacer::cli
