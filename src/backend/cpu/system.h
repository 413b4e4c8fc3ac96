#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gacer::cpu {

/// One logical processor a physical core, of those that this process may use, ascending; fewer when
/// the control group's quota gives less time than that.
std::vector<int> usable_cores();
/// "AMD EPYC 7R13", from the system; "CPU" when it does not say.
std::string processor_name();
double clock_mhz();
/// Bytes of memory that this process may have at most, and could still get now: the smaller of what
/// the machine has and what the control group allows.
std::int64_t total_memory_bytes();
std::int64_t free_memory_bytes();

}  // namespace gacer::cpu
