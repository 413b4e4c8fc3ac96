#include "backend/cuda/placement.h"

#include <cstdlib>
#include <mutex>

#include "backend/cuda/cupti.h"
#include "base/error.h"

namespace gacer::cuda {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 20;
constexpr std::size_t kBufferAlign = 8;

// CUPTI's callbacks carry no pointer of ours.
std::mutex mutex;
std::map<std::uint32_t, ContextActivity> seen;
bool has_lost_records = false;

void require_success(CUptiResult status, const char* call) {
  if (status == CUPTI_SUCCESS) return;
  const char* text = nullptr;
  cuptiGetResultString(status, &text);
  fail(ErrorKind::kUnsupported, "CUPTI cannot observe kernels: {}: {}", call,
       text != nullptr ? text : std::to_string(status));
}

void CUPTIAPI give_buffer(std::uint8_t** buffer, std::size_t* size, std::size_t* most_records) {
  *buffer = static_cast<std::uint8_t*>(std::aligned_alloc(kBufferAlign, kBufferBytes));
  *size = *buffer == nullptr ? 0 : kBufferBytes;
  *most_records = 0;
}

void CUPTIAPI take_buffer(CUcontext /*context*/, std::uint32_t /*stream*/, std::uint8_t* buffer,
                          std::size_t /*size*/, std::size_t valid_bytes) {
  const std::lock_guard lock(mutex);
  CUpti_Activity* record = nullptr;
  CUptiResult status = CUPTI_SUCCESS;
  while ((status = cuptiActivityGetNextRecord(buffer, valid_bytes, &record)) == CUPTI_SUCCESS) {
    if (record->kind != CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) continue;
    const auto* kernel = reinterpret_cast<const CUpti_ActivityKernel10*>(record);
    ContextActivity& activity = seen[kernel->contextId];
    ++activity.kernels;
    activity.busy_ms += static_cast<double>(kernel->end - kernel->start) * 1e-6;
  }
  if (status != CUPTI_ERROR_MAX_LIMIT_REACHED) has_lost_records = true;
  std::free(buffer);
}

/// Kernels are recorded while it lives.
class Recording {
 public:
  Recording() {
    require_success(cuptiActivityRegisterCallbacks(give_buffer, take_buffer),
                    "cuptiActivityRegisterCallbacks");
    require_success(cuptiActivityEnable(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL),
                    "cuptiActivityEnable");
  }
  ~Recording() { cuptiActivityDisable(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL); }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
};

}  // namespace

Library& cupti_library() {
  static Library library("libcupti.so.13",
                         "CUPTI 13 (CUDA's toolkit, or pip install nvidia-cuda-cupti), its folder "
                         "in LD_LIBRARY_PATH");
  return library;
}

std::map<std::uint32_t, ContextActivity> observe_kernels(const std::function<void()>& work) {
  if (const std::string& error = cupti_library().error(); !error.empty())
    fail(ErrorKind::kUnsupported, "placement cannot be observed: {}", error);
  {
    const Recording recording;
    // What an observation that failed has left.
    require_success(cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED),
                    "cuptiActivityFlushAll");
    {
      const std::lock_guard lock(mutex);
      seen.clear();
      has_lost_records = false;
    }
    work();
    require_success(cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED),
                    "cuptiActivityFlushAll");
  }
  const std::lock_guard lock(mutex);
  if (has_lost_records) fail(ErrorKind::kUnsupported, "CUPTI lost records of kernels");
  return seen;
}

std::uint32_t context_number(CUcontext context) {
  std::uint32_t number = 0;
  require_success(cuptiGetContextId(context, &number), "cuptiGetContextId");
  return number;
}

}  // namespace gacer::cuda
