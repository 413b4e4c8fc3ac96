#include "backend/cuda/window_args.h"

#include <algorithm>
#include <limits>

#include "backend/cuda/kernels/activation_code.h"
#include "backend/cuda/pointwise.h"

namespace gacer::cuda {

Result<WindowArgs> window_args(const Windows& windows, const OperandDesc& x, const OperandDesc& y) {
  const int rank = windows.rank();
  if (rank != 1 && rank != 2) return refuse("{} spatial axes", rank);
  constexpr std::int64_t kMax = std::numeric_limits<int>::max();
  if (x.shape.num_elements() > kMax * 64 || y.shape.num_elements() > kMax * 64)
    return refuse("images of more than 2^37 elements");
  const auto last = static_cast<std::size_t>(rank - 1);
  std::int64_t largest = 0;
  const auto as_int = [&](std::int64_t value) {
    largest = std::max(largest, value);
    return static_cast<int>(value);
  };
  const std::vector<std::int64_t> xs = own_strides(x);
  const std::vector<std::int64_t> ys = own_strides(y);
  WindowArgs args;
  args.batch = as_int(x.shape[0]);
  args.channels = as_int(y.shape[1]);
  args.in_w = as_int(windows.in[last]);
  args.out_w = as_int(windows.out[last]);
  args.kernel_w = as_int(windows.kernel[last]);
  args.stride_w = as_int(windows.strides[last]);
  args.pad_w = as_int(windows.pads_begin[last]);
  args.dilation_w = as_int(windows.dilations[last]);
  args.padded_end_w = as_int(windows.in[last] + windows.pads_end[last]);
  args.padded_end_h = 1;
  if (rank == 2) {
    args.in_h = as_int(windows.in[0]);
    args.out_h = as_int(windows.out[0]);
    args.kernel_h = as_int(windows.kernel[0]);
    args.stride_h = as_int(windows.strides[0]);
    args.pad_h = as_int(windows.pads_begin[0]);
    args.dilation_h = as_int(windows.dilations[0]);
    args.padded_end_h = as_int(windows.in[0] + windows.pads_end[0]);
    args.x_h = xs[2];
    args.y_h = ys[2];
  }
  // Positions of windows are sums and products of these.
  const std::int64_t reach =
      std::max(static_cast<std::int64_t>(args.kernel_w - 1) * args.dilation_w,
               static_cast<std::int64_t>(args.kernel_h - 1) * args.dilation_h);
  if (std::max(largest, reach) > kMax / 4) return refuse("axes of more than 2^29 positions");
  args.x_n = xs[0];
  args.x_c = xs[1];
  args.x_w = xs.back();
  args.y_n = ys[0];
  args.y_c = ys[1];
  args.y_w = ys.back();
  return args;
}

bool has_channel_vectors(const OperandDesc& desc, int vector) {
  const std::vector<std::int64_t> strides = own_strides(desc);
  if (strides[1] != 1 || desc.shape[1] % vector != 0) return false;
  for (std::size_t axis = 0; axis < strides.size(); ++axis)
    if (axis != 1 && desc.shape[static_cast<int>(axis)] > 1 && strides[axis] % vector != 0)
      return false;
  return true;
}

Result<std::string> float_suffix(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return std::string("f32");
    case DType::kF16:
      return std::string("f16");
    case DType::kBF16:
      return std::string("bf16");
    default:
      return refuse("type {}", to_string(dtype));
  }
}

Result<std::string> float_suffix(const KernelCall& call) {
  const DType dtype = call.inputs[0].dtype;
  if (call.outputs[0].dtype != dtype)
    return refuse("input {} and output {}", to_string(dtype), to_string(call.outputs[0].dtype));
  return float_suffix(dtype);
}

Result<void> product_types(DType a, DType result) {
  if (const auto suffix = float_suffix(a); !suffix) return Refusal{suffix.reason()};
  if (result == a || result == DType::kF32) return {};
  return refuse("input {} and output {}", to_string(a), to_string(result));
}

#define GACER_SAME(name) \
  static_assert(static_cast<int>(Activation::name) == static_cast<int>(ActivationCode::name))
GACER_SAME(kIdentity);
GACER_SAME(kRelu);
GACER_SAME(kLeakyRelu);
GACER_SAME(kClip);
GACER_SAME(kSigmoid);
GACER_SAME(kHardSigmoid);
GACER_SAME(kHardSwish);
GACER_SAME(kSilu);
GACER_SAME(kGelu);
GACER_SAME(kGeluTanh);
GACER_SAME(kTanh);
GACER_SAME(kElu);
#undef GACER_SAME

Result<FusedActivation> fused_activation(const KernelCall& call) {
  FusedActivation fused;
  if (call.node.post.empty()) return fused;
  const PostOp& post = call.node.post[0];
  if (call.node.post.size() > 1 || post.kind != PostOp::Kind::kActivation)
    return refuse("post-ops other than one activation");
  fused.code = static_cast<int>(post.activation);
  fused.alpha = post.alpha;
  fused.beta = post.beta;
  return fused;
}

std::optional<std::int64_t> position_pitch(const OperandDesc& image, bool across_images) {
  const std::vector<std::int64_t> strides = own_strides(image);
  const std::int64_t pitch = strides.back();
  std::int64_t expected = pitch;
  for (int axis = image.shape.rank(); axis-- > (across_images ? 0 : 2);) {
    if (axis == 1) continue;
    if (image.shape[axis] > 1 && strides[static_cast<std::size_t>(axis)] != expected)
      return std::nullopt;
    expected *= image.shape[axis];
  }
  return pitch;
}

unsigned blocks_for(std::int64_t work, int threads) {
  constexpr std::int64_t kMax = 1 << 20;
  return static_cast<unsigned>(std::clamp<std::int64_t>((work + threads - 1) / threads, 1, kMax));
}

}  // namespace gacer::cuda
