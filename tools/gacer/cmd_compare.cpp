#include <memory>
#include <string>
#include <vector>

#include "tools/gacer/command.h"
#include "tools/gacer/options.h"
#include "tools/gacer/output.h"
#include "tools/gacer/session.h"

namespace gacer::cli {
namespace {

constexpr const char* kFooter = R"(
Policies
  sequential streams partition     simple: one after the other; all at once; static shares
  chunks variants budgets priorities syncs            one knob each
  spatial temporal gacer           the first three; the last two; all five
  auto                             the simple ones and gacer, which must win beyond the noise

Examples
  gacer compare zoo:resnet50@8 zoo:vgg16@8 zoo:lstm@8
  gacer compare zoo:resnet18 zoo:lstm --policies all --html report.html --json report.json)";

}  // namespace

void add_compare_command(const Command& app, Invocation& invocation) {
  const Command command =
      app.add_command("compare", "Measure several policies, interleaved and checked");
  auto options = std::make_shared<Options>();
  auto policies = std::make_shared<std::vector<std::string>>(std::vector<std::string>{"auto"});
  add_models(command, *options);
  command.add_option("-p,--policies", *policies, "Policies, separated by commas, or all")
      .delimiter(',')
      .allow_extra_args(false)
      .type_name("LIST")
      .capture_default_str()
      .group("Search");
  add_engine_options(command, *options);
  add_search_options(command, *options);
  add_measure_options(command, *options);
  add_tensor_options(command, *options);
  add_report_options(command, *options);
  add_verbosity_options(command, *options);
  command.footer(kFooter);
  command.callback([options, policies, &invocation] {
    invocation.action = [options, policies, &invocation] {
      const std::vector<std::string> names = parse_policies(*policies);
      const MeasureOptions measure = options->measure();
      const PolicyLimits limits = options->limits();
      Session session(*options);
      return report_comparison(session, session.engine().compare(names, measure, limits),
                               invocation.command_line);
    };
  });
}

}  // namespace gacer::cli
