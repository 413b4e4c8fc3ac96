#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <gacer/engine.h>
#include <gacer/policy.h>

#include "tools/gacer/command_line.h"

namespace gacer::cli {

/// What commands have in common. A command adds the groups that it understands.
struct Options {
  // Tenants.
  std::vector<std::string> models;
  // Engine.
  std::string device = "cpu";
  std::string implementation;
  int threads = 0;
  std::string precision = "f32";
  // On the command line: a plan's own come before the defaults.
  bool is_device_given = false;
  bool is_precision_given = false;
  std::string db;
  std::uint64_t seed = 1;
  std::vector<std::string> disabled_passes;
  std::string measure_in = "auto";
  int announce_descriptor = -1;
  // Search.
  std::int64_t evaluations = PolicyLimits{}.evaluations;
  std::int64_t measurements = PolicyLimits{}.measurements;
  std::string search_time = "15s";
  // Measuring.
  std::string time = "2s";
  int rounds = MeasureOptions{}.min_rounds;
  bool no_check = false;
  bool no_guard = false;
  bool observe_placement = false;
  // Tensors.
  std::vector<std::string> inputs;
  std::string output;
  // Results.
  std::string json, html, trace, plan, save_plan, save_plans, record;
  bool is_quiet = false;
  bool is_verbose = false;

  /// Error{kIo} when the program cannot find itself for a measuring process.
  EngineOptions engine() const;
  /// Whether variants are measured in a process of their own.
  bool measures_in_child() const;
  PolicyLimits limits() const;
  MeasureOptions measure() const;
};

/// What the command line leaves open as the plan has it: the kind of device and the precision.
/// Error{kUsage} when the device is a simulated one: a plan does not say where its recording is.
void complete_from_plan(Options& options, const Plan& plan);

void add_models(const Command& command, Options& options, bool is_required = true);
void add_engine_options(const Command& command, Options& options);
void add_search_options(const Command& command, Options& options);
void add_measure_options(const Command& command, Options& options);
void add_tensor_options(const Command& command, Options& options);
void add_report_options(const Command& command, Options& options);
void add_verbosity_options(const Command& command, Options& options);

/// "2", "1.5s", "500ms", "3m"; Error{kUsage} otherwise.
std::chrono::milliseconds parse_duration(const std::string& text);

/// "auto" or one of list_policies(); Error{kUsage} names them. "all" gives all of them.
std::vector<std::string> parse_policies(const std::vector<std::string>& names);

}  // namespace gacer::cli
