#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>

#include <fmt/format.h>

#include <gacer/tenant.h>

#include "base/error.h"
#include "onnx/writer.h"
#include "report/table.h"
#include "tools/gacer/command.h"
#include "zoo/zoo.h"

namespace gacer::cli {
namespace {

constexpr const char* kFooter = R"(
The models have published topologies and seeded weights: they compute nothing useful, at the right cost.

Examples
  gacer zoo
  gacer zoo resnet50@8 --out resnet50.onnx)";

int list_zoo() {
  TextTable table;
  table.add_column("name");
  table.add_column("parameters", TextTable::Align::kRight);
  table.add_column("what it is");
  for (const ZooModel* model : all_zoo_models())
    table.add_row({std::string(model->name),
                   fmt::format("{:.1f} M", static_cast<double>(model->num_parameters) / 1e6),
                   std::string(model->summary)});
  fmt::print("{}", table.to_text(wants_color(STDOUT_FILENO)));
  return 0;
}

int export_model(const std::string& name, const std::string& out, std::uint64_t seed) {
  const TenantSpec spec = TenantSpec::parse("zoo:" + name);
  const std::string model = spec.model.substr(std::string("zoo:").size());
  const Graph graph = build_zoo_model(model, spec.batch, seed);
  write_onnx(graph, out);
  fmt::print("{}: {} nodes, batch {}\n", out, graph.num_nodes(), spec.batch);
  return 0;
}

}  // namespace

void add_zoo_command(const Command& app, Invocation& invocation) {
  const Command command = app.add_command("zoo", "List the built-in models, or write one as ONNX");
  auto name = std::make_shared<std::string>();
  auto out = std::make_shared<std::string>();
  auto seed = std::make_shared<std::uint64_t>(1);
  const CommandOption name_option =
      command.add_option("NAME", *name, "A model of the list, NAME[@BATCH]").type_name("");
  const CommandOption out_option =
      command.add_option("-o,--out", *out, "Write the model to this ONNX file").type_name("FILE");
  name_option.needs(out_option);
  out_option.needs(name_option);
  command.add_option("--seed", *seed, "Of the weights").type_name("N").capture_default_str();
  command.footer(kFooter);
  command.callback([name, out, seed, &invocation] {
    invocation.action = [name, out, seed] {
      return name->empty() ? list_zoo() : export_model(*name, *out, *seed);
    };
  });
}

}  // namespace gacer::cli
