#include "tools/gacer/cmd_devices.h"

#include <unistd.h>

#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "device/device.h"
#include "report/summary.h"
#include "report/table.h"
#include "tools/gacer/command.h"

namespace gacer::cli {
namespace {

/// The first line of an error, which may list more.
std::string first_line(const Error& error) {
  const std::string& text = error.message();
  return text.substr(0, text.find('\n'));
}

/// Why a backend has no device, in the words of who asks for one.
std::string reason_without(const Backend& backend) {
  try {
    backend.open("", "");
  } catch (const Error& error) {
    return ": " + first_line(error);
  }
  return "";
}

void add_device(TextTable& table, const DeviceInfo& device) {
  std::string libraries;
  for (const auto& [name, library_version] : device.libraries)
    libraries += fmt::format("{}{} {}", libraries.empty() ? "" : ", ", name, library_version);
  table.add_row({device.kind == "cuda" ? fmt::format("cuda:{}", device.index) : device.kind,
                 device.name, std::to_string(device.num_units), std::to_string(device.num_groups),
                 format_bytes(device.memory_bytes), libraries});
}

}  // namespace

std::string describe_devices(std::span<const Backend* const> backends, bool use_color) {
  TextTable table;
  table.add_column("device");
  table.add_column("name");
  table.add_column("units", TextTable::Align::kRight);
  table.add_column("groups", TextTable::Align::kRight);
  table.add_column("memory", TextTable::Align::kRight);
  table.add_column("libraries");
  std::string without;
  for (const Backend* backend : backends) {
    try {
      const std::vector<DeviceInfo> devices = backend->find_devices();
      if (devices.empty())
        without += fmt::format("  {}: none here{}\n", backend->kind, reason_without(*backend));
      for (const DeviceInfo& device : devices) add_device(table, device);
    } catch (const Error& error) {
      // One driver that fails says nothing about the other kinds.
      without += fmt::format("  {}: cannot be asked: {}\n", backend->kind, first_line(error));
    }
  }
  return table.to_text(use_color) + without;
}

void add_devices_command(const Command& app, Invocation& invocation) {
  const Command command = app.add_command("devices", "List the devices of this machine");
  command.footer(
      "\nsim:FILE is a device too: another machine's recording, see `gacer profile --help`.");
  command.callback([&invocation] {
    invocation.action = [] {
      fmt::print("{}", describe_devices(all_backends(), wants_color(STDOUT_FILENO)));
      return 0;
    };
  });
}

}  // namespace gacer::cli
