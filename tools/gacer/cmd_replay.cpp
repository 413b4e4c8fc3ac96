// Runs rounds of saved plans on request, so that a benchmark can let gacer and something else take
// turns on one device.

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/error.h"
#include "base/hasher.h"
#include "tools/gacer/command.h"
#include "tools/gacer/interrupt.h"
#include "tools/gacer/options.h"
#include "tools/gacer/session.h"

namespace gacer::cli {
namespace {

constexpr const char* kFooter = R"(
The plans' tenants must be the same. Each line of the standard input, PLAN ROUNDS (the number of a
plan, from 0, and how many rounds), is answered by a line of milliseconds; the line "digest" by a
number that stands for all outputs of the last round; check PLAN ROUNDS by a line of JSON: rounds
in which the result of every step is compared with what the same steps make one after the other,
and the first that differed. The first two lines say, in JSON, that the first plan has run (with the
seconds that opening the device, reading the models, preparing the plan and its first round took)
and what the plans cost.

Example
  echo "0 5" | gacer replay pair.plan.json --device cuda --precision fp16)";

void print_line(const std::string& line) {
  fmt::print("{}\n", line);
  if (std::fflush(stdout) != 0) throw Error(ErrorKind::kIo, "cannot write to the standard output");
}

/// Lines of the standard input. Waiting for the next one ends with Error{kInterrupted} on Ctrl-C.
class LineReader {
 public:
  /// Nothing when the input has ended.
  std::optional<std::string> next() {
    std::size_t end = 0;
    while ((end = text_.find('\n')) == std::string::npos) {
      if (!read_more()) {
        if (text_.empty()) return std::nullopt;
        return std::exchange(text_, {});
      }
    }
    std::string line = text_.substr(0, end);
    text_.erase(0, end + 1);
    return line;
  }

 private:
  bool read_more() {
    constexpr int kLookMs = 100;
    pollfd input = {STDIN_FILENO, POLLIN, 0};
    while (poll(&input, 1, kLookMs) <= 0)
      if (interrupt_flag()) fail(ErrorKind::kInterrupted, "replaying was stopped");
    std::array<char, 4096> bytes = {};
    const ssize_t count = read(STDIN_FILENO, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) return true;
    if (count < 0) fail(ErrorKind::kIo, "cannot read the standard input");
    text_.append(bytes.data(), static_cast<std::size_t>(count));
    return count > 0;
  }

  std::string text_;
};

/// Reads a number and moves past it.
int read_number(const char*& at, const char* end, const std::string& line) {
  while (at != end && *at == ' ') ++at;
  int value = 0;
  const auto [next, code] = std::from_chars(at, end, value);
  if (code != std::errc{} || value < 0)
    fail(ErrorKind::kUsage, "'{}' is neither PLAN ROUNDS nor check PLAN ROUNDS nor digest", line);
  at = next;
  return value;
}

/// Equal for equal bits in all outputs of all tenants.
std::string digest_outputs(const Engine& engine) {
  Hasher hasher;
  for (int t = 0; t < static_cast<int>(engine.tenants().size()); ++t) {
    for (const Engine::Port& port : engine.outputs(t)) {
      const Tensor output = engine.output(t, port.name);
      hasher.add_bytes(output.bytes(), output.size_bytes());
    }
  }
  return hasher.hex();
}

/// A line of JSON.
std::string check_steps(Engine& engine, int plan, int rounds) {
  using Json = nlohmann::json;
  Json differences = Json::array();
  for (const StepDifference& found : engine.check_steps(rounds, plan)) {
    const Step& step = engine.plan(plan).step(found.step);
    differences.push_back({{"lane", found.step.lane},
                           {"tenant", engine.tenants()[static_cast<std::size_t>(step.tenant)].name},
                           {"node", step.node},
                           {"chunk", {step.chunk.begin, step.chunk.end}},
                           {"variant", step.variant},
                           {"bytes", found.bytes},
                           {"first", found.first},
                           {"last", found.last},
                           {"size", found.size}});
  }
  return Json{{"rounds", rounds}, {"differences", differences}}.dump(
      -1, ' ', false, Json::error_handler_t::replace);
}

void answer(Engine& engine, const std::string& line) {
  if (line == "digest") return print_line(digest_outputs(engine));
  constexpr std::string_view kCheck = "check ";
  const bool is_check = line.starts_with(kCheck);
  const char* at = line.data() + (is_check ? kCheck.size() : 0);
  const char* end = line.data() + line.size();
  const int plan = read_number(at, end, line);
  const int rounds = read_number(at, end, line);
  if (is_check) return print_line(check_steps(engine, plan, rounds));
  std::string times;
  for (int i = 0; i < rounds; ++i)
    times += fmt::format("{}{:.5f}", i == 0 ? "" : " ", engine.run_round(plan));
  print_line(times);
}

int replay(Options options, const std::vector<std::string>& paths) {
  std::vector<Plan> plans;
  for (const std::string& path : paths) plans.push_back(load_plan(path));
  complete_from_plan(options, plans.front());
  Session session(options, &plans.front());
  Engine& engine = session.engine();
  double plan_s = 0;
  double round_s = 0;
  {
    const AddsSeconds adds(plan_s);
    engine.load_also(plans.front());
  }
  {
    const AddsSeconds adds(round_s);
    engine.run_round();
  }
  session.progress().clear();
  // The first round is over: this line ends the start of who waits for it.
  const std::string start_s =
      fmt::format(R"({{"device": {:.3f}, "models": {:.3f}, "plan": {:.3f}, "round": {:.3f}}})",
                  session.open_s(), session.models_s(), plan_s, round_s);
  print_line(fmt::format(R"({{"ready": true, "device_bytes": {}, "start_s": {}}})",
                         engine.allocated_bytes(), start_s));
  for (std::size_t i = 1; i < plans.size(); ++i) engine.load_also(plans[i]);
  std::string costs;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const LoadCosts plan_costs = engine.measure_costs(static_cast<int>(i));
    using Json = nlohmann::json;
    const std::string policy =
        Json(plans[i].policy).dump(-1, ' ', false, Json::error_handler_t::replace);
    costs += fmt::format(R"({}{{"policy": {}, "assemble_ms": {:.4f}, "launch_us": {:.3f}}})",
                         i == 0 ? "" : ", ", policy, plan_costs.assemble_ms, plan_costs.launch_us);
  }
  print_line(fmt::format(R"({{"plans": [{}]}})", costs));
  for (LineReader lines; const std::optional<std::string> line = lines.next();)
    if (!line->empty()) answer(engine, *line);
  return 0;
}

}  // namespace

void add_replay_command(const Command& app, Invocation& invocation) {
  const Command command =
      app.add_command("replay", "Load saved plans and run rounds of them on request");
  auto options = std::make_shared<Options>();
  auto plans = std::make_shared<std::vector<std::string>>();
  command.add_option("PLAN", *plans, "Saved plans of the same tenants").type_name("").required();
  add_engine_options(command, *options);
  add_verbosity_options(command, *options);
  command.footer(kFooter);
  command.callback([options, plans, &invocation] {
    invocation.action = [options, plans] { return replay(*options, *plans); };
  });
}

}  // namespace gacer::cli
