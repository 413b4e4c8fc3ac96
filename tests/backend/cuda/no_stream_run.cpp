#include "base/error.h"
#include "tests/backend/cuda/node_run.h"

namespace gacer::testing {

void run_on_stream(const Kernel& /*kernel*/, const Bindings& /*bindings*/) {
  fail(ErrorKind::kInternal, "there is no GPU behind this device");
}

}  // namespace gacer::testing
