#include "backend/cuda/capture.h"
#include "backend/cuda/context.h"
#include "tests/backend/cuda/node_run.h"

namespace gacer::testing {

void run_on_stream(const Kernel& kernel, const Bindings& bindings) {
  static const cuda::Context context(0);
  static const cuda::Stream stream(context);
  context.make_current();
  cuda::CudaRecorder recorder(stream.get());
  kernel.record(bindings, recorder);
  stream.synchronize();
}

}  // namespace gacer::testing
