#include "base/device_id.h"

#include <set>

#include <fmt/format.h>

namespace gacer {
namespace {

/// Cuts off and returns what comes before the next '|'.
std::string_view take_field(std::string_view& rest) {
  const std::string_view field = rest.substr(0, rest.find('|'));
  rest.remove_prefix(field.size() < rest.size() ? field.size() + 1 : field.size());
  return field;
}

std::string version_of(const DeviceId& id, const std::string& name) {
  const auto found = id.versions.find(name);
  return found == id.versions.end() ? "none" : found->second;
}

}  // namespace

DeviceId parse_device_id(std::string_view text) {
  DeviceId id;
  id.kind = take_field(text);
  id.name = take_field(text);
  id.groups = take_field(text);
  while (!text.empty()) {
    const std::string_view field = take_field(text);
    const std::size_t equals = field.find('=');
    if (equals == field.npos) continue;
    id.versions[std::string(field.substr(0, equals))] = field.substr(equals + 1);
  }
  return id;
}

std::string describe_versions(const DeviceId& other, const DeviceId& here) {
  std::set<std::string> names;
  for (const DeviceId* id : {&other, &here})
    for (const auto& [name, version] : id->versions) names.insert(name);
  std::string text;
  for (const std::string& name : names) {
    const std::string there = version_of(other, name);
    const std::string own = version_of(here, name);
    if (there != own)
      text += fmt::format("{}{} {} (here {})", text.empty() ? "" : ", ", name, there, own);
  }
  return text;
}

}  // namespace gacer
