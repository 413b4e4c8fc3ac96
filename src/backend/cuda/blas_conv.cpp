// Convolutions with a 1x1 window on channels-last images are products of matrices: cuBLASLt beside
// cuDNN and the own kernel for few rows.

#include "backend/cuda/blas_plan.h"
#include "backend/cuda/packing.h"
#include "backend/cuda/window_args.h"
#include "ops/windows.h"

namespace gacer::cuda {
namespace {

/// Elements between neighbouring pixels when all pixels of all images lie at that distance.
std::optional<std::int64_t> pixel_pitch(const OperandDesc& desc) {
  const std::vector<std::int64_t> strides = own_strides(desc);
  if (strides.size() < 3 || (strides[1] != 1 && desc.shape[1] > 1)) return std::nullopt;
  const std::int64_t pitch = strides.back();
  std::int64_t expected = pitch;
  for (int axis = desc.shape.rank(); axis-- > 0;) {
    if (axis == 1) continue;
    if (desc.shape[axis] > 1 && strides[static_cast<std::size_t>(axis)] != expected)
      return std::nullopt;
    expected *= desc.shape[axis];
  }
  return pitch;
}

}  // namespace

Result<BlasCall> plan_conv_product(const KernelCall& call) {
  if (call.node.op != "Conv") return refuse("{} is no Conv", call.node.op);
  const OperandDesc& x = call.inputs[0];
  const OperandDesc& w = call.inputs[1];
  const OperandDesc& y = call.outputs[0];
  if (const auto types = product_types(x.dtype, y.dtype); !types) return Refusal{types.reason()};
  if (call.constant(1) == nullptr) return refuse("the weight is computed");
  if (x.layout != Layout::kChannelsLast || y.layout != Layout::kChannelsLast)
    return refuse("not channels-last");
  if (call.node.attributes.get_int("group", 1) != 1) return refuse("groups");
  const Windows windows = conv_windows(call.node, x.shape, w.shape);
  const auto all_are = [](const std::vector<std::int64_t>& values, std::int64_t wanted) {
    return std::all_of(values.begin(), values.end(), [&](std::int64_t v) { return v == wanted; });
  };
  if (!all_are(windows.kernel, 1) || !all_are(windows.strides, 1) ||
      !all_are(windows.pads_begin, 0) || !all_are(windows.pads_end, 0))
    return refuse("the window is not 1x1 at every pixel");
  const auto x_pitch = pixel_pitch(x);
  const auto y_pitch = pixel_pitch(y);
  if (!x_pitch || !y_pitch) return refuse("pixels do not lie at one distance");
  BlasCall plan;
  plan.packs_b = true;
  BlasProduct& p = plan.product;
  p.dtype = x.dtype;
  p.result = y.dtype;
  p.m = x.shape[0] * windows.out_volume();
  p.n = w.shape[0];
  p.k = w.shape[1];
  p.lda = *x_pitch;
  p.ldb = p.k;
  p.trans_b = true;
  p.ldy = *y_pitch;
  p.allow_tf32 = call.precision == Precision::kTF32;
  if (call.node.num_op_inputs > 2 && !call.inputs[2].is_absent) {
    const Tensor* bias = call.constant(2);
    if (bias == nullptr) return refuse("the bias is computed");
    plan.bias = floats(*bias);
    p.has_bias = true;
  }
  if (const auto posts = take_post_ops(call, pixel_pitch, plan); !posts)
    return Refusal{posts.reason()};
  return plan;
}

}  // namespace gacer::cuda
