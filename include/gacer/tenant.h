#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace gacer {

enum class TenantMode : std::uint8_t { kInfer, kTrain };

/// A model and how it wants to be run.
struct TenantSpec {
  std::string model;  ///< a path, or "zoo:NAME"
  std::string name;   ///< empty: made from the model, "#2" added when taken
  TenantMode mode = TenantMode::kInfer;
  std::int64_t batch = 1;
  std::map<std::string, std::int64_t> dims;  ///< other dynamic dimensions, by name
  int priority = 0;                          ///< higher first; "low" is -1, "high" is 1
  double weight = 1;                         ///< share of the objective
  int repeat = 1;                            ///< runs per round
  std::int64_t memory_limit_bytes = 0;       ///< 0: none
  double latency_target_ms = 0;              ///< 0: none

  /// Parses MODEL of the command line: `PATH|zoo:NAME [:train|:infer] [@BATCH] [?DIM=N&…]
  /// [,key=value…]`, e.g. "rec.onnx@8?W=320,priority=high". Error{kUsage} shows the place.
  static TenantSpec parse(const std::string& text);
};

}  // namespace gacer
