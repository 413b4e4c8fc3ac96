#include "device/device.h"

#include "base/error.h"

namespace gacer {

std::vector<PlacementRow> Program::observe_placement() {
  fail(ErrorKind::kUnsupported, "this device has no profiler that tells where kernels run");
}

}  // namespace gacer
