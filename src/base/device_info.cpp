#include <fmt/core.h>

#include <gacer/device_info.h>

namespace gacer {

std::string DeviceInfo::profile_id() const {
  std::string id = fmt::format("{}|{}|{}x{}", kind, name, num_groups, units_per_group);
  for (const auto& [library, version] : libraries) id += fmt::format("|{}={}", library, version);
  return id;
}

}  // namespace gacer
