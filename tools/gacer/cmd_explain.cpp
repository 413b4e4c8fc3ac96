#include <memory>
#include <string>

#include <fmt/format.h>

#include "tools/gacer/command.h"
#include "tools/gacer/options.h"
#include "tools/gacer/session.h"

namespace gacer::cli {
namespace {

constexpr const char* kFooter = R"(
The models are needed to check that the plan is theirs. They default to those that the plan names.
Nothing is measured: times are predicted where the profile has rows.

Example
  gacer explain pair.plan.json zoo:resnet50@8 zoo:vgg16@8)";

int explain(Options options) {
  const Plan plan = load_plan(options.plan);
  complete_from_plan(options, plan);
  Session session(options, &plan);
  const std::string text = session.engine().explain(plan);
  session.progress().clear();
  fmt::print("{}", text);
  return 0;
}

}  // namespace

void add_explain_command(const Command& app, Invocation& invocation) {
  const Command command = app.add_command("explain", "Say in words what a plan does");
  auto options = std::make_shared<Options>();
  command.add_option("PLAN", options->plan, "A plan file").type_name("").required();
  add_models(command, *options, /*is_required=*/false);
  add_engine_options(command, *options);
  add_verbosity_options(command, *options);
  command.footer(kFooter);
  command.callback(
      [options, &invocation] { invocation.action = [options] { return explain(*options); }; });
}

}  // namespace gacer::cli
