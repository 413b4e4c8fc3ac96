#include "tools/gacer/tool.h"

#include <algorithm>
#include <cstdio>
#include <new>
#include <string>
#include <system_error>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <gacer/error.h>
#include <gacer/version.h>

#include "tools/gacer/command.h"

namespace gacer::cli {
namespace {

constexpr const char* kFooter = R"(MODEL is  PATH|zoo:NAME [@BATCH] [?DIM=N&...] [,key=value...]
  DIM   a dynamic dimension by its name in the model; H and W for images
  keys  name, priority (low, high or a number), weight, repeat, memory, latency

Examples
  gacer compare zoo:resnet18@8 zoo:mobilenet_v3_large@8
  gacer run 'rec.onnx@4?H=48&W=320,priority=high' 'det.onnx?H=640&W=640' --html report.html
  gacer plan zoo:resnet50@8 zoo:vgg16@8 --save-plan pair.plan.json
  gacer explain pair.plan.json

Exit codes
  0 done   1 file or internal error   2 usage   3 bad model or plan   4 unsupported operator
  5 out of memory   6 device   130 interrupted

`gacer COMMAND --help` says more. Escape codes are written to terminals only; NO_COLOR is honoured.)";

/// The command line as typed, quoted where a shell would need it.
std::string quote_command_line(int argc, const char* const* argv) {
  const std::string plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@,+%";
  std::string text = "gacer";
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (!argument.empty() && argument.find_first_not_of(plain) == std::string::npos) {
      text += " " + argument;
      continue;
    }
    std::string quoted;
    for (const char c : argument) quoted += c == '\'' ? "'\\''" : std::string(1, c);
    text += " '" + quoted + "'";
  }
  return text;
}

std::string list_commands(const CLI::App& app) {
  std::string text;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    text += (text.empty() ? "" : ", ") + command->get_name();
  return text;
}

/// CLI11 would only say that an argument was not expected.
void check_command_exists(const CLI::App& app, int argc, const char* const* argv) {
  if (argc < 2 || argv[1][0] == '-') return;
  const std::string name = argv[1];
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    if (command->get_name() == name) return;
  throw Error(ErrorKind::kUsage,
              fmt::format("unknown command '{}'; there are {}", name, list_commands(app)));
}

int parse_and_run(int argc, const char* const* argv) {
  CLI::App app("Runs several models on one device at once and regulates how they share it.",
               "gacer");
  app.set_version_flag("--version", fmt::format("gacer {} ({})", version(), commit()));
  app.footer(kFooter);
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  Invocation invocation;
  invocation.command_line = quote_command_line(argc, argv);
  const Command top(app);
  add_run_command(top, invocation);
  add_compare_command(top, invocation);
  add_profile_command(top, invocation);
  add_plan_command(top, invocation);
  add_replay_command(top, invocation);
  add_explain_command(top, invocation);
  add_check_command(top, invocation);
  add_zoo_command(top, invocation);
  add_devices_command(top, invocation);
  add_ops_command(top, invocation);
  check_command_exists(app, argc, argv);
  if (argc < 2) {
    fmt::print("{}", app.help());
    return exit_code(ErrorKind::kUsage);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& request) {  // --help, --version
    return app.exit(request);
  } catch (const CLI::ParseError& error) {
    const auto chosen = app.get_subcommands();
    const std::string help = chosen.empty() ? "" : chosen.front()->get_name() + " ";
    throw Error(ErrorKind::kUsage, fmt::format("{}\n  see: gacer {}--help", error.what(), help));
  }
  return invocation.action();
}

/// Prints an error; returns its exit code.
int complain(const Error& error) {
  fmt::print(stderr, "gacer: {}\n", error.what());
  return exit_code(error.kind());
}

}  // namespace

int run_tool(int argc, const char* const* argv) {
  try {
    const int code = parse_and_run(argc, argv);
    // What was printed may be on a full disk.
    if (std::fflush(stdout) != 0)
      throw Error(ErrorKind::kIo, "cannot write to the standard output");
    return code;
  } catch (const Error& error) {
    return complain(error);
  } catch (const std::bad_alloc&) {
    return complain(Error(ErrorKind::kOutOfMemory, "the host has no memory left"));
  } catch (const std::system_error& error) {
    // Printing to a full disk fails as soon as the buffer is full.
    const bool is_output = std::ferror(stdout) != 0;
    return complain(
        is_output ? Error(ErrorKind::kIo, fmt::format("cannot write to the standard output: {}",
                                                      error.code().message()))
                  : Error(ErrorKind::kInternal, error.what()));
  } catch (const std::exception& error) {
    return complain(Error(ErrorKind::kInternal, error.what()));
  }
}

}  // namespace gacer::cli
