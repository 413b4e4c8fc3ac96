#include "backend/cuda/context.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <regex>

#include "backend/cuda/check.h"

namespace gacer::cuda {
namespace {

constexpr int kGroupSms = 8;
constexpr int kLeastCapability = 80;

/// Once a process: hardware queues for many branches must be asked for before the first call.
CUresult initialize() {
  static std::once_flag once;
  static CUresult result = CUDA_SUCCESS;
  std::call_once(once, [] {
    setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", /*overwrite=*/0);
    result = driver_library().error().empty() ? cuInit(0) : CUDA_ERROR_NO_DEVICE;
  });
  return result;
}

CUdevice find_device(int ordinal) {
  GACER_CU(initialize());
  CUdevice device = 0;
  GACER_CU(cuDeviceGet(&device, ordinal));
  return device;
}

int attribute(CUdevice device, CUdevice_attribute which) {
  int value = 0;
  GACER_CU(cuDeviceGetAttribute(&value, which, device));
  return value;
}

std::string name_of(CUdevice device) {
  std::array<char, 256> name = {};
  GACER_CU(cuDeviceGetName(name.data(), static_cast<int>(name.size()), device));
  return name.data();
}

}  // namespace

PrimaryContext::PrimaryContext(CUdevice device) : device_(device) {
  GACER_CU(cuDevicePrimaryCtxRetain(&context_, device));
}
PrimaryContext::~PrimaryContext() { cuDevicePrimaryCtxRelease(device_); }

Context::Context(int ordinal) : device_(find_device(ordinal)), primary_(device_) {
  make_current();
  name_ = name_of(device_);
  num_sms_ = attribute(device_, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  compute_capability_ = 10 * attribute(device_, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) +
                        attribute(device_, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  if (compute_capability_ < kLeastCapability)
    fail(ErrorKind::kDevice, "{} has compute capability {}.{}, gacer needs {}.{} (Ampere) or later",
         name_, compute_capability_ / 10, compute_capability_ % 10, kLeastCapability / 10,
         kLeastCapability % 10);
  max_shared_bytes_ = static_cast<std::size_t>(
      attribute(device_, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN));
  GACER_CU(cuCtxGetStreamPriorityRange(&least_priority_, &greatest_priority_));

  CUdevResource all = {};
  GACER_CU(cuDeviceGetDevResource(device_, &all, CU_DEV_RESOURCE_TYPE_SM));
  unsigned count = 0;
  GACER_CU(cuDevSmResourceSplitByCount(nullptr, &count, &all, nullptr, 0, kGroupSms));
  groups_.resize(count);
  CUdevResource rest = {};
  GACER_CU(cuDevSmResourceSplitByCount(groups_.data(), &count, &all, &rest, 0, kGroupSms));
  groups_.resize(count);
  sms_per_group_ = groups_.empty() ? num_sms_ : static_cast<int>(groups_[0].sm.smCount);
}

Context::~Context() {
  for (auto& [interval, green] : greens_) cuGreenCtxDestroy(green.handle);
}

void Context::make_current() const { GACER_CU(cuCtxSetCurrent(primary())); }

int Context::budget_sms(const Budget& budget) const {
  if (budget.size(num_groups()) >= num_groups()) return num_sms_;
  int sms = 0;
  for (int g = budget.begin; g < budget.end; ++g)
    sms += static_cast<int>(groups_[static_cast<std::size_t>(g)].sm.smCount);
  return sms;
}

CUcontext Context::budget_context(const Budget& budget) {
  if (budget.size(num_groups()) >= num_groups()) return primary();
  require(budget.begin >= 0 && budget.end <= num_groups(), "budget [{}, {}) of {} groups",
          budget.begin, budget.end, num_groups());
  Green& green = greens_[{budget.begin, budget.end}];
  if (green.context == nullptr) {
    CUdevResourceDesc description = nullptr;
    GACER_CU(cuDevResourceGenerateDesc(&description,
                                       &groups_[static_cast<std::size_t>(budget.begin)],
                                       static_cast<unsigned>(budget.end - budget.begin)));
    GACER_CU(cuGreenCtxCreate(&green.handle, description, device_, CU_GREEN_CTX_DEFAULT_STREAM));
    GACER_CU(cuCtxFromGreenCtx(&green.context, green.handle));
  }
  return green.context;
}

int Context::driver_priority(int rank) const {
  return std::max(greatest_priority_, least_priority_ - rank);
}

Stream::Stream(const Context& context) {
  context.make_current();
  GACER_CU(cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING));
}
Stream::~Stream() { cuStreamDestroy(stream_); }
void Stream::synchronize() const { GACER_CU(cuStreamSynchronize(stream_)); }

Event::Event() { GACER_CU(cuEventCreate(&event_, CU_EVENT_DEFAULT)); }
Event::~Event() { cuEventDestroy(event_); }
void Event::record(const Stream& stream) const { GACER_CU(cuEventRecord(event_, stream.get())); }
double Event::since(const Event& start) const {
  float ms = 0;
  GACER_CU(cuEventElapsedTime(&ms, start.event_, event_));
  return ms;
}

int count_devices(std::string* reason) {
  int count = 0;
  std::string why = "no GPU";
  try {
    CUresult result = initialize();
    if (result == CUDA_SUCCESS) result = cuDeviceGetCount(&count);
    if (result != CUDA_SUCCESS) why = describe(result);
  } catch (const Error& error) {  // a driver that is not there, or lacks a function
    why = error.message();
  }
  if (reason != nullptr) *reason = why;
  return count;
}

namespace {

/// Of the kernel module, as it says: "580.82.07"; empty where it says nothing.
std::string driver_release() {
  std::ifstream file("/proc/driver/nvidia/version");
  std::string line;
  std::getline(file, line);
  std::smatch found;
  // "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.82.07  Wed Aug 27 …"
  if (!std::regex_search(line, found, std::regex(R"(\s(\d+(\.\d+)+)\s)"))) return {};
  return found[1];
}

}  // namespace

DeviceInfo describe_device(int ordinal) {
  const CUdevice device = find_device(ordinal);
  std::size_t memory = 0;
  GACER_CU(cuDeviceTotalMem(&memory, device));
  int version = 0;
  GACER_CU(cuDriverGetVersion(&version));

  DeviceInfo info;
  info.name = name_of(device);
  info.kind = "cuda";
  info.index = ordinal;
  info.num_units = attribute(device, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  info.units_per_group = kGroupSms;
  info.num_groups = std::max(1, info.num_units / kGroupSms);
  info.memory_bytes = static_cast<std::int64_t>(memory);
  info.clock_mhz = attribute(device, CU_DEVICE_ATTRIBUTE_CLOCK_RATE) / 1000.0;
  info.driver = driver_release();
  info.libraries["cuda"] = fmt::format("{}.{}", version / 1000, version % 1000 / 10);
  return info;
}

}  // namespace gacer::cuda
