#include "base/error.h"
#include "device/device.h"

namespace gacer {
namespace {

std::vector<DeviceInfo> find_devices() { return {}; }

std::unique_ptr<Device> open(const std::string& spec, const std::string& /*options*/) {
  fail(ErrorKind::kDevice,
       "cannot open 'cuda:{}': gacer was built without CUDA; configure with the "
       "preset 'cuda' on a machine with the CUDA toolkit",
       spec.empty() ? "0" : spec);
}

}  // namespace

const Backend& backend_cuda();
const Backend& backend_cuda() {
  static constexpr Backend kBackend{"cuda", find_devices, open};
  return kBackend;
}

}  // namespace gacer
