#include "engine/row_advice.h"

#include <fmt/format.h>

#include "base/device_id.h"

namespace gacer {
namespace {

/// Whether rows of one would be rows of the other, were it not for versions. With a set of kernels
/// on one side alone somebody chose among the kernels: that is no surprise.
bool is_other_version(const DeviceId& other, const DeviceId& here) {
  return other.is_same_device(here) &&
         other.versions.contains("kernels") == here.versions.contains("kernels") &&
         other.versions != here.versions;
}

std::size_t count_rows(const ProfileTable& table, const std::vector<ProfileTask>& tasks) {
  std::size_t count = 0;
  for (const ProfileTask& task : tasks)
    count += table.rows(task.signature, task.items).size() +
             table.rejected(task.signature, task.items).size();
  return count;
}

}  // namespace

std::string describe_unused_rows(const ProfileDb& db, const std::string& key,
                                 const std::vector<ProfileTask>& tasks) {
  const DeviceId here = parse_device_id(key);
  std::size_t most = 0;
  std::string difference;
  for (const std::string& device : db.devices()) {
    const DeviceId other = parse_device_id(device);
    if (!is_other_version(other, here)) continue;
    const std::size_t count = count_rows(db.load(device), tasks);
    if (count <= most) continue;
    most = count;
    difference = describe_versions(other, here);
  }
  if (most == 0) return {};
  return fmt::format("profile '{}' has {} rows for these models that are not used: made with {}",
                     db.path(), most, difference);
}

std::string advise_recording(const std::string& model, std::int64_t batch,
                             const std::map<std::string, std::int64_t>& dims,
                             const std::string& precision) {
  std::string text = fmt::format("{}@{}", model, batch);
  char separator = '?';
  for (const auto& [name, size] : dims) {
    text += fmt::format("{}{}={}", separator, name, size);
    separator = '&';
  }
  return fmt::format(
      "make one on that device with `gacer profile '{}' --device DEVICE --precision {} --record "
      "FILE`",
      text, precision);
}

}  // namespace gacer
