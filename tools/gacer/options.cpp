#include "tools/gacer/options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "base/device_id.h"
#include "base/error.h"
#include "base/precision.h"
#include "engine/measuring_process.h"
#include "tools/gacer/interrupt.h"

namespace gacer::cli {
namespace {

constexpr const char* kDeviceGroup = "Device";
constexpr const char* kSearchGroup = "Search";
constexpr const char* kMeasureGroup = "Measuring";
constexpr const char* kTensorGroup = "Tensors";
constexpr const char* kResultGroup = "Results";

/// Nothing is freed: the driver would wait for the device.
void end_stuck_process(const std::string& what) {
  fmt::print(stderr, "\ngacer: device error: {}\n", what);
  std::fflush(stderr);
  std::_Exit(exit_code(ErrorKind::kDevice));
}

std::string own_path() {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) fail(ErrorKind::kIo, "cannot read /proc/self/exe: {}", error.message());
  return path.string();
}

/// `gacer profile` for the same tenants and rows.
std::vector<std::string> measuring_command(const Options& options) {
  std::vector<std::string> command = {own_path(), "profile"};
  command.insert(command.end(), options.models.begin(), options.models.end());
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) command.insert(command.end(), {name, value});
  };
  if (options.models.empty()) add("--plan", options.plan);
  add("--device", options.device);
  add("--precision", options.precision);
  add("--seed", std::to_string(options.seed));
  add("--impl", options.implementation);
  add("--threads", options.threads > 0 ? std::to_string(options.threads) : "");
  add("--db", options.db);
  for (const std::string& pass : options.disabled_passes) add("--disable-pass", pass);
  command.emplace_back("--quiet");
  return command;
}

}  // namespace

EngineOptions Options::engine() const {
  EngineOptions engine;
  engine.device = device;
  if (!implementation.empty()) engine.device_options = "impl=" + implementation;
  if (threads > 0)
    engine.device_options +=
        fmt::format("{}threads={}", engine.device_options.empty() ? "" : ",", threads);
  engine.precision = precision;
  engine.profile_path = db;
  engine.seed = seed;
  engine.disabled_passes = disabled_passes;
  engine.is_cancelled = &interrupt_flag();
  if (device.starts_with("cuda")) {
    engine.round_limit = MeasuringOptions{}.patience;  // a round may take what a variant may
    engine.on_stuck = end_stuck_process;
  }
  engine.announce_descriptor = announce_descriptor;
  if (measures_in_child()) engine.measuring_command = measuring_command(*this);
  return engine;
}

bool Options::measures_in_child() const {
  // A process that measures starts no other one.
  if (announce_descriptor >= 0) return false;
  // Without tenants there is nothing to measure.
  if (models.empty() && plan.empty()) return false;
  return measure_in == "child" || (measure_in == "auto" && device.starts_with("cuda"));
}

PolicyLimits Options::limits() const {
  PolicyLimits limits;
  limits.evaluations = evaluations;
  limits.measurements = measurements;
  limits.time = parse_duration(search_time);
  return limits;
}

MeasureOptions Options::measure() const {
  MeasureOptions measure;
  measure.min_rounds = rounds;
  measure.time = parse_duration(time);
  measure.check = !no_check;
  measure.beside_simple = !no_guard;
  measure.observe_placement = observe_placement;
  return measure;
}

void complete_from_plan(Options& options, const Plan& plan) {
  if (!options.is_device_given) {
    const std::string kind = parse_device_id(plan.device_id).kind;
    if (kind == "sim")
      fail(ErrorKind::kUsage,
           "the plan was made for a simulated device ('{}'): name its recording with "
           "--device sim:FILE",
           plan.device_id);
    // Another kind is refused with the plan, where what is here can be said, too.
    if (kind == "cpu" || kind == "cuda") options.device = kind;
  }
  if (options.is_precision_given || plan.tenants.empty()) return;
  const std::string& precision = plan.tenants.front().precision;
  if (parse_precision(precision)) options.precision = precision;
}

void add_models(const Command& command, Options& options, bool is_required) {
  const CommandOption models =
      command
          .add_option("MODEL", options.models,
                      "The tenants: PATH|zoo:NAME [@BATCH] [?DIM=N&...] [,key=value...]")
          .type_name("");
  if (is_required) models.required();
}

void add_engine_options(const Command& command, Options& options) {
  command
      .add_option("-d,--device", options.device,
                  "cpu, cuda[:INDEX] or sim:FILE; see `gacer devices`. A saved plan's own is the\n"
                  "default where one is given")
      .marks(options.is_device_given)
      .capture_default_str()
      .type_name("DEVICE")
      .group(kDeviceGroup);
  command
      .add_option("--precision", options.precision,
                  "f32, tf32, fp16 or bf16; a saved plan's own likewise")
      .marks(options.is_precision_given)
      .one_of({"f32", "tf32", "fp16", "bf16"})
      .capture_default_str()
      .type_name("TYPE")
      .group(kDeviceGroup);
  command.add_option("--threads", options.threads, "Cores to use of a CPU (default: all)")
      .in_range(1, 4096)
      .type_name("N")
      .group(kDeviceGroup);
  command
      .add_option("--impl", options.implementation,
                  "A CPU's kernels: plain (loops alone) or all (default: all)")
      .one_of({"plain", "all"})
      .type_name("NAME")
      .group(kDeviceGroup);
  command
      .add_option("--db", options.db,
                  "Profile rows are kept here (default: gacer/ in XDG_CACHE_HOME or ~/.cache)")
      .type_name("FILE")
      .group(kDeviceGroup);
  command
      .add_option("--disable-pass", options.disabled_passes,
                  "Leave out a graph pass by its name; repeatable")
      .take_all()
      .allow_extra_args(false)
      .type_name("NAME")
      .group(kDeviceGroup);
  command
      .add_option("--measure-in", options.measure_in,
                  "Process that measures variants: child (which a bad kernel may crash), self, or\n"
                  "auto: child on GPUs")
      .one_of({"auto", "child", "self"})
      .capture_default_str()
      .type_name("PROCESS")
      .group(kDeviceGroup);
  command
      .add_option("--announce", options.announce_descriptor,
                  "Descriptor that is told what is being measured")
      .group("");  // for gacer's own use
  command.add_option("--seed", options.seed, "Of weights, random inputs and the search")
      .capture_default_str()
      .type_name("N")
      .group(kSearchGroup);
}

void add_search_options(const Command& command, Options& options) {
  command
      .add_option("--evaluations", options.evaluations,
                  "Plans that a search may try on the model before it measures")
      .in_range(std::int64_t{0}, std::int64_t{1} << 40U)
      .capture_default_str()
      .type_name("N")
      .group(kSearchGroup);
  command
      .add_option("--measurements", options.measurements,
                  "Plans that a search may measure on the device")
      .in_range(std::int64_t{0}, std::int64_t{1} << 30U)
      .capture_default_str()
      .type_name("N")
      .group(kSearchGroup);
  command.add_option("--search-time", options.search_time, "Limit of each search: 30s, 2m; 0: none")
      .capture_default_str()
      .type_name("TIME")
      .group(kSearchGroup);
}

void add_measure_options(const Command& command, Options& options) {
  command.add_option("--time", options.time, "Measuring time of each policy: 500ms, 2s, 1m")
      .capture_default_str()
      .type_name("TIME")
      .group(kMeasureGroup);
  command.add_option("--rounds", options.rounds, "Rounds of each policy at least")
      .in_range(1, 1 << 30)
      .capture_default_str()
      .type_name("N")
      .group(kMeasureGroup);
  command
      .add_flag("--no-check", options.no_check,
                "Do not compare outputs with the sequential plan's (on a poisoned arena)")
      .group(kMeasureGroup);
  command
      .add_flag("--placement", options.observe_placement,
                "Show where the chosen plan's kernels ran, as the GPU's profiler sees a round")
      .group(kMeasureGroup);
}

void add_tensor_options(const Command& command, Options& options) {
  command
      .add_option("--input", options.inputs,
                  "TENANT:NAME=FILE.npy sets a model input (else seeded random); repeatable.\n"
                  "With one tenant, NAME=FILE.npy")
      .take_all()
      .allow_extra_args(false)
      .type_name("INPUT")
      .group(kTensorGroup);
  command
      .add_option("--output", options.output,
                  "Folder for the outputs of a last round: TENANT.NAME.npy")
      .type_name("FOLDER")
      .group(kTensorGroup);
}

void add_report_options(const Command& command, Options& options) {
  command.add_option("--json", options.json, "Write the numbers as JSON ('-': standard output)")
      .type_name("FILE")
      .group(kResultGroup);
  command.add_option("--html", options.html, "Write a page with timelines that needs nothing else")
      .type_name("FILE")
      .group(kResultGroup);
  command.add_option("--trace", options.trace, "Write timelines for Perfetto or chrome://tracing")
      .type_name("FILE")
      .group(kResultGroup);
  command.add_option("--save-plan", options.save_plan, "Write the plan that is used")
      .type_name("FILE")
      .group(kResultGroup);
  command
      .add_option("--save-plans", options.save_plans,
                  "Folder for the plan of every policy: POLICY.plan.json")
      .type_name("FOLDER")
      .group(kResultGroup);
}

void add_verbosity_options(const Command& command, Options& options) {
  const CommandOption quiet = command.add_flag(
      "-q,--quiet", options.is_quiet, "No progress and no tables: files, warnings, errors");
  command.add_flag("-v,--verbose", options.is_verbose, "Say more").excludes(quiet);
}

std::chrono::milliseconds parse_duration(const std::string& text) {
  constexpr std::array<std::pair<std::string_view, double>, 5> kUnits{
      {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"", 1000}}};
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  const auto found = std::ranges::find(kUnits, unit, &std::pair<std::string_view, double>::first);
  constexpr double kDay = 86'400'000;
  if (error != std::errc{} || found == kUnits.end() || !(value >= 0) ||
      value * found->second > kDay)
    fail(ErrorKind::kUsage, "'{}' is no duration of at most a day; write 500ms, 2s, 1m or 1h",
         text);
  return std::chrono::milliseconds(std::llround(value * found->second));
}

std::vector<std::string> parse_policies(const std::vector<std::string>& names) {
  std::vector<std::string> known;
  for (const PolicyInfo& policy : list_policies()) known.push_back(policy.name);
  if (std::ranges::find(known, "auto") == known.end()) known.emplace_back("auto");
  if (names.size() == 1 && names[0] == "all") return known;
  std::vector<std::string> chosen;
  for (const std::string& name : names) {
    if (std::ranges::find(known, name) == known.end())
      fail(ErrorKind::kUsage, "unknown policy '{}'; there are {}", name, fmt::join(known, ", "));
    if (std::ranges::find(chosen, name) == chosen.end()) chosen.push_back(name);
  }
  return chosen;
}

}  // namespace gacer::cli
