#pragma once

#include <map>
#include <string>
#include <string_view>

namespace gacer {

/// The fields of a text that begins with DeviceInfo::profile_id(). A plain value.
struct DeviceId {
  std::string kind;
  std::string name;
  std::string groups;                           ///< "15x8": groups, units of a group
  std::map<std::string, std::string> versions;  ///< "cudnn" → "9.19.0", and what else follows

  bool is_same_device(const DeviceId& other) const {
    return kind == other.kind && name == other.name && groups == other.groups;
  }
};

/// Any text: what is not there stays empty.
DeviceId parse_device_id(std::string_view text);

/// What another one has and this one has not, for people: "cudnn 9.18.0 (here 9.19.0)"; empty when
/// the versions are equal.
std::string describe_versions(const DeviceId& other, const DeviceId& here);

}  // namespace gacer
