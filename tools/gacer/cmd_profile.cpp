#include <memory>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "engine/core.h"
#include "tools/gacer/command.h"
#include "tools/gacer/options.h"
#include "tools/gacer/session.h"

namespace gacer::cli {
namespace {

constexpr const char* kFooter = R"(
Rows are kept as they are measured, also when interrupted; a repeat measures what is still missing.

Examples
  gacer profile zoo:resnet50@8 zoo:vgg16@8
  gacer profile --plan pair.plan.json
  gacer profile zoo:resnet50@8 --db rows.db --record laptop.rec.json
  gacer compare zoo:resnet50@8 --device sim:laptop.rec.json        (on any machine))";

int profile(Options options) {
  std::optional<Plan> plan;
  if (!options.plan.empty()) {
    plan = load_plan(options.plan);
    complete_from_plan(options, *plan);
  }
  // Rows are all that is asked for: to lose them at the end is an error here.
  if (options.record.empty() && options.db.empty() && !options.device.starts_with("sim:")) {
    options.db = default_profile_path();
    if (options.db.empty()) fail(ErrorKind::kIo, "{}; name a file with --db", kNoProfilePlace);
  }
  Session session(options, plan ? &*plan : nullptr);
  const double seconds = session.engine().profile();
  session.progress().clear();
  if (!options.is_quiet)
    fmt::print("profiled {} tenants on {} in {:.1f} s\n", session.engine().tenants().size(),
               session.engine().device().name, seconds);
  if (options.record.empty()) return 0;
  session.engine().record(options.record);
  if (!options.is_quiet) fmt::print("recorded in {}\n", options.record);
  return 0;
}

}  // namespace

void add_profile_command(const Command& app, Invocation& invocation) {
  const Command command = app.add_command("profile", "Measure the ways to run each operator");
  auto options = std::make_shared<Options>();
  add_models(command, *options, /*is_required=*/false);
  command.add_option("--plan", options->plan, "MODELs default to this plan's")
      .type_name("FILE")
      .group("Device");
  command
      .add_option("--record", options->record,
                  "Also write the device and its rows for --device sim:FILE on other machines")
      .type_name("FILE")
      .group("Results");
  add_engine_options(command, *options);
  add_verbosity_options(command, *options);
  command.footer(kFooter);
  command.callback(
      [options, &invocation] { invocation.action = [options] { return profile(*options); }; });
}

}  // namespace gacer::cli
