#pragma once

#include <string>
#include <vector>

#include "engine/core.h"

namespace gacer {

/// A plan to measure, under the name that results carry.
struct Contender {
  std::string name;
  Plan plan;
  double search_s = 0;
};

/// Compiles, checks and measures plans interleaved, and says which to use.
Comparison measure_contenders(EngineCore& core, std::vector<Contender> contenders,
                              const MeasureOptions& options);

/// Seconds of processor time that all processes, and this one, have used so far.
struct CpuTimes {
  double all_s = 0;
  double own_s = 0;
  bool is_known = false;
};
CpuTimes read_cpu_times();

}  // namespace gacer
