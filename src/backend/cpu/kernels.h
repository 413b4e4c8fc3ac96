#pragma once

#include "device/kernel.h"

namespace gacer::cpu {

/// Every operator in the reference's plain loops: row-major operands, or pointwise ones that agree
/// in any layout. "plain/threads=2".
const KernelImpl& plain_kernel();

/// Implementations in order of preference. Those of oneDNN are in onednn/kernels.h.
std::vector<const KernelImpl*> all_kernels();

/// What oneDNN's convolutions on this processor are fastest in: blocks of one vector of channels.
Layout preferred_image_layout();

}  // namespace gacer::cpu
