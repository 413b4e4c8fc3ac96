#include <memory>
#include <string>

#include <fmt/format.h>

#include "base/error.h"
#include "tools/gacer/command.h"
#include "tools/gacer/options.h"
#include "tools/gacer/session.h"

namespace gacer::cli {
namespace {

constexpr const char* kFooter = R"(
Example
  gacer plan zoo:resnet50@8 zoo:vgg16@8 --policy gacer --save-plan pair.plan.json)";

int make_plan(const Options& options, const std::string& policy) {
  const auto policies = parse_policies({policy});
  if (policies.size() != 1) fail(ErrorKind::kUsage, "plan takes one policy");
  const PolicyLimits limits = options.limits();
  Session session(options);
  session.engine().profile();
  const Plan plan = session.engine().make_plan(policies[0], limits);
  session.progress().clear();
  if (!options.save_plan.empty()) save_plan(plan, options.save_plan);
  if (!options.is_quiet) fmt::print("{}", session.engine().explain(plan));
  return 0;
}

}  // namespace

void add_plan_command(const Command& app, Invocation& invocation) {
  const Command command = app.add_command("plan", "Search a plan, explain it and save it");
  auto options = std::make_shared<Options>();
  auto policy = std::make_shared<std::string>("auto");
  add_models(command, *options);
  command.add_option("-p,--policy", *policy, "How the device is shared")
      .type_name("NAME")
      .capture_default_str()
      .group("Search");
  command.add_option("--save-plan", options->save_plan, "Write the plan (JSON)")
      .type_name("FILE")
      .group("Results");
  add_engine_options(command, *options);
  add_search_options(command, *options);
  add_verbosity_options(command, *options);
  command.footer(kFooter);
  command.callback([options, policy, &invocation] {
    invocation.action = [options, policy] { return make_plan(*options, *policy); };
  });
}

}  // namespace gacer::cli
