#include <fmt/format.h>

#include "base/error.h"
#include "device/device.h"

namespace gacer {

std::unique_ptr<Device> open_device(const std::string& name, const std::string& options) {
  const std::size_t colon = name.find(':');
  const std::string kind = name.substr(0, colon);
  const std::string spec = colon == std::string::npos ? "" : name.substr(colon + 1);
  std::string known;
  for (const Backend* backend : all_backends()) {
    if (backend->kind == kind) return backend->open(spec, options);
    known += fmt::format("{}{}", known.empty() ? "" : ", ", backend->kind);
  }
  fail(ErrorKind::kUsage, "unknown device '{}'; this build has: {}", name, known);
}

}  // namespace gacer
