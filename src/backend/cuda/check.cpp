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

std::string describe_lack_of_memory(const std::string& what) {
  std::size_t free = 0;
  std::size_t total = 0;
  if (cuMemGetInfo(&free, &total) != CUDA_SUCCESS) return what;
  return fmt::format("{}: {} of {} bytes free on the GPU", what, free, total);
}

void check(CUresult result, const char* call) {
  if (result == CUDA_SUCCESS) return;
  const std::string_view text(call);
  const std::string what =
      fmt::format("{} failed: {}", text.substr(0, text.find('(')), describe(result));
  if (result == CUDA_ERROR_OUT_OF_MEMORY)
    fail(ErrorKind::kOutOfMemory, "{}", describe_lack_of_memory(what));
  fail(ErrorKind::kDevice, "{}", what);
}

}  // namespace gacer::cuda
