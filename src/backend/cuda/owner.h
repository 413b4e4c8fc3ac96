#pragma once

#include <memory>
#include <type_traits>

#include "backend/cuda/driver.h"

namespace gacer::cuda {

/// `destroy`: a function of a library (library.h) that frees the handle.
template <typename Handle, const auto& destroy>
struct Destroy {
  using pointer = Handle;
  void operator()(Handle handle) const { destroy(handle); }
};
/// Owns a vendor's handle, also where the constructor that asked for it fails later.
template <typename Handle, const auto& destroy>
using Owner = std::unique_ptr<std::remove_pointer_t<Handle>, Destroy<Handle, destroy>>;

using GraphOwner = Owner<CUgraph, cuGraphDestroy>;
using ExecOwner = Owner<CUgraphExec, cuGraphExecDestroy>;

}  // namespace gacer::cuda
