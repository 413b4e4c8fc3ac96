#pragma once

#include <functional>
#include <string>

#include "tools/gacer/command_line.h"

namespace gacer::cli {

/// What the command line asks for. A command's options set `action` when they are parsed; it
/// returns the exit code or throws Error.
struct Invocation {
  std::string command_line;  ///< as typed, for reports
  std::function<int()> action;
};

/// Each adds one command to the command line. The app and the invocation outlive the action.
void add_run_command(const Command& app, Invocation& invocation);
void add_compare_command(const Command& app, Invocation& invocation);
void add_profile_command(const Command& app, Invocation& invocation);
void add_plan_command(const Command& app, Invocation& invocation);
void add_replay_command(const Command& app, Invocation& invocation);
void add_explain_command(const Command& app, Invocation& invocation);
void add_check_command(const Command& app, Invocation& invocation);
void add_zoo_command(const Command& app, Invocation& invocation);
void add_devices_command(const Command& app, Invocation& invocation);
void add_ops_command(const Command& app, Invocation& invocation);

}  // namespace gacer::cli
