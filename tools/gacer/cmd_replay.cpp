// Runs rounds of saved plans on request, so that a benchmark can let gacer and something else take
// turns on one device.

#include <charconv>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "tools/gacer/command.h"
#include "tools/gacer/options.h"
#include "tools/gacer/session.h"

namespace gacer::cli {
namespace {

constexpr const char* kFooter = R"(
The plans' tenants must be the same. Each line of the standard input, PLAN ROUNDS (the number of a
plan, from 0, and how many rounds), is answered by a line of milliseconds. The first two lines
say, in JSON, that the first plan has run and what the plans cost.

Example
  echo "0 5" | gacer replay pair.plan.json --device cuda --precision fp16)";

void print_line(const std::string& line) {
  fmt::print("{}\n", line);
  if (std::fflush(stdout) != 0) throw Error(ErrorKind::kIo, "cannot write to the standard output");
}

/// Reads a number and moves past it.
int read_number(const char*& at, const char* end, const std::string& line) {
  while (at != end && *at == ' ') ++at;
  int value = 0;
  const auto [next, code] = std::from_chars(at, end, value);
  if (code != std::errc{} || value < 0) fail(ErrorKind::kUsage, "'{}' is not PLAN ROUNDS", line);
  at = next;
  return value;
}

void answer(Engine& engine, const std::string& line) {
  const char* at = line.data();
  const char* end = at + line.size();
  const int plan = read_number(at, end, line);
  const int rounds = read_number(at, end, line);
  std::string times;
  for (int i = 0; i < rounds; ++i)
    times += fmt::format("{}{:.5f}", i == 0 ? "" : " ", engine.run_round(plan));
  print_line(times);
}

int replay(const Options& options, const std::vector<std::string>& paths) {
  std::vector<Plan> plans;
  for (const std::string& path : paths) plans.push_back(load_plan(path));
  Session session(options, &plans.front());
  Engine& engine = session.engine();
  engine.load_also(plans.front());
  engine.run_round();
  session.progress().clear();
  // The first round is over: this line ends the start of who waits for it.
  print_line(fmt::format(R"({{"ready": true, "device_bytes": {}}})", engine.allocated_bytes()));
  for (std::size_t i = 1; i < plans.size(); ++i) engine.load_also(plans[i]);
  std::string costs;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const LoadCosts plan_costs = engine.measure_costs(static_cast<int>(i));
    costs += fmt::format(R"({}{{"policy": "{}", "assemble_ms": {:.4f}, "launch_us": {:.3f}}})",
                         i == 0 ? "" : ", ", plans[i].policy, plan_costs.assemble_ms,
                         plan_costs.launch_us);
  }
  print_line(fmt::format(R"({{"plans": [{}]}})", costs));
  for (std::string line; std::getline(std::cin, line);)
    if (!line.empty()) answer(engine, line);
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
