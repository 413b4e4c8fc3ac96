#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace gacer {

/// Facts of a device that plans, profiles and reports name. A plain value.
struct DeviceInfo {
  std::string name;         ///< "NVIDIA H200", "AMD EPYC 7R13, 2 cores"
  std::string kind;         ///< "cpu", "cuda", "sim"
  int index = 0;            ///< of several devices of a kind
  int num_units = 1;        ///< cores or streaming multiprocessors
  int units_per_group = 1;  ///< smallest budget step: a core, 8 SMs
  int num_groups = 1;       ///< budgets are intervals of groups
  std::int64_t memory_bytes = 0;
  double clock_mhz = 0;
  /// Measured, a multiply-add counts two: a CPU's in f32, a GPU's in the engine's precision and not
  /// before a report or a recording asks. 0 when unknown.
  double peak_flops = 0;
  double peak_bandwidth = 0;  ///< measured, bytes a second; 0 when unknown
  std::string driver;
  std::map<std::string, std::string> libraries;  ///< "onednn" → "3.2.1"

  /// Stable text that keys profile rows and plans: kind, name, units and library versions.
  std::string profile_id() const;
};

}  // namespace gacer
