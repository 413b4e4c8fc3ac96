#include <unistd.h>

#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/error.h"
#include "device/device.h"
#include "report/summary.h"
#include "report/table.h"
#include "tools/gacer/command.h"

namespace gacer::cli {
namespace {

/// Why a backend has no device, in the words of who asks for one.
std::string reason_without(std::string_view kind) {
  try {
    open_device(std::string(kind));
  } catch (const Error& error) {
    const std::string& text = error.message();
    return ": " + text.substr(0, text.find('\n'));
  }
  return "";
}

int list_devices() {
  TextTable table;
  table.add_column("device");
  table.add_column("name");
  table.add_column("units", TextTable::Align::kRight);
  table.add_column("groups", TextTable::Align::kRight);
  table.add_column("memory", TextTable::Align::kRight);
  table.add_column("libraries");
  std::string without;
  for (const Backend* backend : all_backends()) {
    const std::vector<DeviceInfo> devices = backend->find_devices();
    if (devices.empty())
      without += fmt::format("  {}: none here{}\n", backend->kind, reason_without(backend->kind));
    for (const DeviceInfo& device : devices) {
      std::string libraries;
      for (const auto& [name, library_version] : device.libraries)
        libraries += fmt::format("{}{} {}", libraries.empty() ? "" : ", ", name, library_version);
      table.add_row({device.kind == "cuda" ? fmt::format("cuda:{}", device.index) : device.kind,
                     device.name, std::to_string(device.num_units),
                     std::to_string(device.num_groups), format_bytes(device.memory_bytes),
                     libraries});
    }
  }
  fmt::print("{}{}", table.to_text(wants_color(STDOUT_FILENO)), without);
  return 0;
}

}  // namespace

void add_devices_command(const Command& app, Invocation& invocation) {
  const Command command = app.add_command("devices", "List the devices of this machine");
  command.footer(
      "\nsim:FILE is a device too: another machine's recording, see `gacer profile --help`.");
  command.callback([&invocation] { invocation.action = list_devices; });
}

}  // namespace gacer::cli
