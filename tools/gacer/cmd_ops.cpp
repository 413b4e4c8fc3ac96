#include <unistd.h>

#include <memory>
#include <string>

#include <fmt/format.h>

#include "device/device.h"
#include "ops/op_def.h"
#include "report/table.h"
#include "tools/gacer/command.h"

namespace gacer::cli {
namespace {

constexpr int kNoLimit = 1 << 20;

int list_ops(const std::string& device_name) {
  TextTable table;
  table.add_column("operator");
  table.add_column("domain");
  table.add_column("opset");
  table.add_column("along the batch");
  for (const OpDef* op : all_ops()) {
    table.add_row({std::string(op->name), op->domain.empty() ? "ai.onnx" : std::string(op->domain),
                   op->max_opset >= kNoLimit ? fmt::format("{}+", op->min_opset)
                                             : fmt::format("{}-{}", op->min_opset, op->max_opset),
                   op->split == nullptr ? "never cut" : "can be cut"});
  }
  const std::unique_ptr<Device> device = open_device(device_name);
  std::string kernels;
  for (const KernelImpl* kernel : device->kernels())
    kernels += fmt::format("{}{}", kernels.empty() ? "" : ", ", kernel->name());
  fmt::print("{}\n  {} operators. Kernels on {}, first choice first:\n  {}\n",
             table.to_text(wants_color(STDOUT_FILENO)), all_ops().size(), device->info().name,
             kernels);
  return 0;
}

}  // namespace

void add_ops_command(const Command& app, Invocation& invocation) {
  const Command command = app.add_command("ops", "List the operators and the kernels of a device");
  auto device = std::make_shared<std::string>("cpu");
  command.add_option("-d,--device", *device, "Whose kernels to list")
      .type_name("DEVICE")
      .capture_default_str();
  command.callback(
      [device, &invocation] { invocation.action = [device] { return list_ops(*device); }; });
}

}  // namespace gacer::cli
