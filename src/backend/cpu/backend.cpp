#include <fmt/format.h>
#include <oneapi/dnnl/dnnl.hpp>

#include "backend/cpu/cpu_device.h"
#include "backend/cpu/system.h"
#include "base/error.h"

namespace gacer {
namespace cpu {

DeviceInfo describe_cpu(int num_cores) {
  DeviceInfo info;
  info.name = fmt::format("{}, {} core{}", processor_name(), num_cores, num_cores == 1 ? "" : "s");
  info.kind = "cpu";
  info.num_units = num_cores;
  info.num_groups = num_cores;
  info.memory_bytes = total_memory_bytes();
  info.clock_mhz = clock_mhz();
  const dnnl_version_t* version = dnnl_version();
  info.libraries["onednn"] =
      fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
  return info;
}

namespace {

std::vector<DeviceInfo> find_devices() {
  return {describe_cpu(static_cast<int>(usable_cores().size()))};
}

std::unique_ptr<Device> open(const std::string& spec, const std::string& options) {
  if (!spec.empty() && spec != "0")
    fail(ErrorKind::kDevice, "there is no device 'cpu:{}'; all cores together are 'cpu'", spec);
  return std::make_unique<CpuDevice>(parse_options(options));
}

}  // namespace
}  // namespace cpu

const Backend& backend_cpu();
const Backend& backend_cpu() {
  static constexpr Backend kBackend{"cpu", cpu::find_devices, cpu::open};
  return kBackend;
}

}  // namespace gacer
