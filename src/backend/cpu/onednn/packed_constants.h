#pragma once

#include <memory>

#include "backend/cpu/onednn/descriptors.h"

namespace gacer::cpu {

/// Constant bytes in the order that a primitive wants, shared by all kernels that want the same.
class PackedConstant {
 public:
  virtual ~PackedConstant() = default;
  virtual const void* data() const = 0;
};

/// `tensor`, which lies as `from`, packed as `to`. The same bytes packed the same way are packed
/// once in the process while anybody holds them, whichever model they come from; when both
/// descriptions are equal, the tensor itself is kept instead. Thread-safe.
std::shared_ptr<const PackedConstant> pack_constant(const Tensor& tensor, const memory::desc& from,
                                                    const memory::desc& to);

/// The tensor itself.
std::shared_ptr<const PackedConstant> keep_constant(const Tensor& tensor);

}  // namespace gacer::cpu
