#include "device/device.h"

#include "base/error.h"

namespace gacer {

std::vector<PlacementRow> Program::observe_placement() {
  fail(ErrorKind::kUnsupported, "this device has no profiler that tells where kernels run");
}

std::unique_ptr<Kernel> Device::make_row_copy(const ByteRows& /*rows*/) const {
  fail(ErrorKind::kUnsupported, "{} computes nothing that could be kept", info().name);
}

std::unique_ptr<Kernel> Device::make_row_comparison(const ByteRows& /*rows*/) const {
  fail(ErrorKind::kUnsupported, "{} computes nothing that could be compared", info().name);
}

}  // namespace gacer
