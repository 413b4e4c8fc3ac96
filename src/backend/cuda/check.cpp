#include "backend/cuda/check.h"

#include <string>
#include <string_view>

namespace gacer::cuda {

std::string describe(CUresult result) {
  if (const std::string& missing = driver_library().error(); !missing.empty())
    return "no driver: " + missing;
  const char* name = nullptr;
  const char* text = nullptr;
  cuGetErrorName(result, &name);
  cuGetErrorString(result, &text);
  return fmt::format("{} ({})", name != nullptr ? name : "unknown CUDA error",
                     text != nullptr ? text : std::to_string(static_cast<int>(result)));
}

void check(CUresult result, const char* call) {
  if (result == CUDA_SUCCESS) return;
  const std::string_view text(call);
  const ErrorKind kind =
      result == CUDA_ERROR_OUT_OF_MEMORY ? ErrorKind::kOutOfMemory : ErrorKind::kDevice;
  fail(kind, "{} failed: {}", text.substr(0, text.find('(')), describe(result));
}

}  // namespace gacer::cuda
