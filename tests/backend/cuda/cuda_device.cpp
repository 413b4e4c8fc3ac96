#include "base/error.h"
#include "tests/backend/cuda/node_run.h"

namespace gacer::testing {

Device* cuda_device(std::string* reason) {
  static std::string why;
  static const std::unique_ptr<Device> device = [] {
    try {
      return open_device("cuda");
    } catch (const Error& error) {
      why = error.what();
      return std::unique_ptr<Device>();
    }
  }();
  if (reason != nullptr) *reason = why;
  return device.get();
}

bool has_libraries() { return true; }

}  // namespace gacer::testing
