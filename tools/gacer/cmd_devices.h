#pragma once

#include <span>
#include <string>

#include "device/device.h"

namespace gacer::cli {

/// A table of all devices of these backends, and lines that say why one has none. A backend that
/// fails is such a line.
std::string describe_devices(std::span<const Backend* const> backends, bool use_color);

}  // namespace gacer::cli
