#pragma once

namespace gacer::cli {

/// The whole program: reads the command line, runs one command, returns the exit code. Errors are
/// printed to stderr, one message each.
int run_tool(int argc, const char* const* argv);

}  // namespace gacer::cli
