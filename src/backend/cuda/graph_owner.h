#pragma once

#include <memory>
#include <type_traits>

#include "backend/cuda/driver.h"

namespace gacer::cuda {

struct DestroyGraph {
  void operator()(CUgraph graph) const { cuGraphDestroy(graph); }
};
struct DestroyExec {
  void operator()(CUgraphExec exec) const { cuGraphExecDestroy(exec); }
};
using GraphOwner = std::unique_ptr<std::remove_pointer_t<CUgraph>, DestroyGraph>;
using ExecOwner = std::unique_ptr<std::remove_pointer_t<CUgraphExec>, DestroyExec>;

}  // namespace gacer::cuda
