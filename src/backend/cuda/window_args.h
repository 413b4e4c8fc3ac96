#pragma once

#include <optional>

#include "backend/cuda/kernels/pool.h"
#include "base/result.h"
#include "device/kernel.h"
#include "ops/windows.h"

namespace gacer::cuda {

/// A 1-D or 2-D window operator on images for the kernels (a 1-D image has one row). Refuses other
/// ranks and sizes beyond 32 bits.
Result<WindowArgs> window_args(const Windows& windows, const OperandDesc& x, const OperandDesc& y);

/// Whether images have neighbouring channels and pieces of `vector` channels stay aligned.
bool has_channel_vectors(const OperandDesc& desc, int vector);

/// "f32", "f16", "bf16": the suffix of a kernel's name. Of a call: input 0 and the result have one
/// type, else refused.
Result<std::string> float_suffix(DType dtype);
Result<std::string> float_suffix(const KernelCall& call);

/// The types of a product of matrices: a and the result have one float type, or a has 16 bits and
/// the result is f32; others are refused.
Result<void> product_types(DType a, DType result);

/// Takes the activation of a call's post-ops: none or one activation, else refused.
struct FusedActivation {
  int code = 0;
  float alpha = 0;
  float beta = 0;
};
Result<FusedActivation> fused_activation(const KernelCall& call);

/// The distance of neighbouring positions of an image, if they follow each other row by row, and,
/// if `across_images`, those of the next image follow the last's.
std::optional<std::int64_t> position_pitch(const OperandDesc& image, bool across_images);

inline int ceil_div(int a, int b) { return (a + b - 1) / b; }

/// Enough blocks of `threads` for `work` threads.
unsigned blocks_for(std::int64_t work, int threads);

}  // namespace gacer::cuda
