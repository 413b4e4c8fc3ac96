#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/precision.h"
#include "graph/graph.h"

namespace gacer {

/// What passes may know of where the graph will run; nothing of the device itself.
struct PassOptions {
  Precision precision = Precision::kF32;
  /// Layout of image operators; kRowMajor leaves every value row-major.
  Layout image_layout = Layout::kRowMajor;
  /// Whether operands of Concat may be parts of its result, if the kernels beside it take that.
  bool concats_in_place = false;
  /// Whether a kernel made for the operator (not the plain fallback) takes a node as it stands.
  /// Fusions and layouts change a node, ask, and take the change back on "no", unless the answer
  /// was "no" before as well. Empty: everything is supported.
  std::function<bool(const Graph&, NodeId)> is_supported;
  /// Names of passes to leave out.
  std::vector<std::string> disabled;
};

/// A graph rewrite that keeps what the graph computes. Returns the number of changes.
struct Pass {
  std::string_view name;
  std::string_view summary;  ///< one line for `--help`
  int (*run)(Graph& graph, const PassOptions& options) = nullptr;
};

/// In the order they run; generated from the list in the build.
std::span<const Pass* const> all_passes();

/// Runs all passes that are not disabled, verifying the graph after each, then infers batch axes.
/// Error{kUsage} for an unknown name in `disabled`. Returns one line per pass ("fuse_epilogue:
/// 33").
std::vector<std::string> run_passes(Graph& graph, const PassOptions& options);

}  // namespace gacer
