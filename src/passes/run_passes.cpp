#include <algorithm>

#include "base/error.h"
#include "ops/op_def.h"
#include "passes/pass.h"

namespace gacer {

std::vector<std::string> run_passes(Graph& graph, const PassOptions& options) {
  for (const std::string& name : options.disabled) {
    const auto passes = all_passes();
    if (std::any_of(passes.begin(), passes.end(), [&](const Pass* p) { return p->name == name; }))
      continue;
    std::string names;
    for (const Pass* pass : passes) names += (names.empty() ? "" : ", ") + std::string(pass->name);
    fail(ErrorKind::kUsage, "there is no pass '{}'; the passes are: {}", name, names);
  }
  std::vector<std::string> log;
  for (const Pass* pass : all_passes()) {
    const auto& off = options.disabled;
    if (std::find(off.begin(), off.end(), pass->name) != off.end()) continue;
    try {
      const int changes = pass->run(graph, options);
      if (changes == 0) continue;
      graph.remove_dead();
      verify_graph(graph);
      log.push_back(fmt::format("{}: {}", pass->name, changes));
    } catch (Error& error) {
      error.add_context(fmt::format("pass '{}' on '{}'", pass->name, graph.name));
      throw;
    }
  }
  infer_batch_axes(graph);
  return log;
}

}  // namespace gacer
