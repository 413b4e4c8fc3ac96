#pragma once

#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace gacer::cli {

/// What the command line asks for. A command's options set `action` when they are parsed; it
/// returns the exit code or throws Error.
struct Invocation {
  std::string command_line;  ///< as typed, for reports
  std::function<int()> action;
};

/// Each adds one command to the command line. The app and the invocation outlive the action.
void add_run_command(CLI::App& app, Invocation& invocation);
void add_compare_command(CLI::App& app, Invocation& invocation);
void add_profile_command(CLI::App& app, Invocation& invocation);
void add_plan_command(CLI::App& app, Invocation& invocation);
void add_replay_command(CLI::App& app, Invocation& invocation);
void add_explain_command(CLI::App& app, Invocation& invocation);
void add_check_command(CLI::App& app, Invocation& invocation);
void add_zoo_command(CLI::App& app, Invocation& invocation);
void add_devices_command(CLI::App& app, Invocation& invocation);
void add_ops_command(CLI::App& app, Invocation& invocation);

}  // namespace gacer::cli
