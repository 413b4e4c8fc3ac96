#include "backend/sim/sim_device.h"
#include "base/error.h"

namespace gacer {
namespace sim {
namespace {

/// Recordings are files that only the user knows of.
std::vector<DeviceInfo> find_devices() { return {}; }

std::unique_ptr<Device> open(const std::string& spec, const std::string& options) {
  if (spec.empty()) {
    fail(ErrorKind::kUsage,
         "the device is written 'sim:FILE', with a FILE made by 'gacer profile --record FILE'");
  }
  if (!options.empty()) {
    fail(ErrorKind::kUsage, "unknown device option '{}'; sim has none", options);
  }
  return std::make_unique<SimDevice>(load_recording(spec));
}

}  // namespace
}  // namespace sim

const Backend& backend_sim();
const Backend& backend_sim() {
  static constexpr Backend kBackend{"sim", sim::find_devices, sim::open};
  return kBackend;
}

}  // namespace gacer
