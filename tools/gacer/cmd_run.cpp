#include <memory>
#include <string>

#include "base/error.h"
#include "tools/gacer/command.h"
#include "tools/gacer/options.h"
#include "tools/gacer/output.h"
#include "tools/gacer/session.h"

namespace gacer::cli {
namespace {

constexpr const char* kFooter = R"(
Examples
  gacer run zoo:resnet18@8 zoo:mobilenet_v3_large@8 --html report.html
  gacer run 'rec.onnx?H=48&W=320' --input x=line.npy --output answers/
  gacer run --plan pair.plan.json)";

int run(Options options, const std::string& policy, const std::string& command_line) {
  const MeasureOptions measure = options.measure();
  const PolicyLimits limits = options.limits();
  if (options.plan.empty()) {
    const auto policies = parse_policies({policy});
    if (policies.size() != 1)
      fail(ErrorKind::kUsage, "run takes one policy; `gacer compare` takes several");
    Session session(options);
    return report_comparison(session, session.engine().compare(policies, measure, limits),
                             command_line);
  }
  const Plan plan = load_plan(options.plan);
  complete_from_plan(options, plan);
  Session session(options, &plan);
  return report_comparison(session, session.engine().measure(plan, measure), command_line);
}

}  // namespace

void add_run_command(const Command& app, Invocation& invocation) {
  const Command command =
      app.add_command("run", "Run models at once with one policy or a saved plan");
  auto options = std::make_shared<Options>();
  auto policy = std::make_shared<std::string>("auto");
  add_models(command, *options, /*is_required=*/false);
  const CommandOption policy_option =
      command.add_option("-p,--policy", *policy, "How the device is shared")
          .type_name("NAME")
          .capture_default_str()
          .group("Search");
  const CommandOption plan_option =
      command
          .add_option(
              "--plan", options->plan,
              "Run this plan instead of searching one, if it beats the simple policies; MODELs "
              "default to the plan's")
          .type_name("FILE")
          .excludes(policy_option)
          .group("Search");
  command
      .add_flag("--no-guard", options->no_guard,
                "With --plan: run the plan whatever the simple policies would do")
      .needs(plan_option)
      .group("Search");
  add_engine_options(command, *options);
  add_search_options(command, *options);
  add_measure_options(command, *options);
  add_tensor_options(command, *options);
  add_report_options(command, *options);
  add_verbosity_options(command, *options);
  command.footer(kFooter);
  command.callback([options, policy, &invocation] {
    invocation.action = [options, policy, &invocation] {
      return run(*options, *policy, invocation.command_line);
    };
  });
}

}  // namespace gacer::cli
