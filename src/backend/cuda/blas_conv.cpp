// Convolutions with a 1x1 window on channels-last images are products of matrices: cuBLASLt beside
// cuDNN.

#include "backend/cuda/blas_plan.h"
#include "backend/cuda/kernel_list.h"
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

Result<BlasCall> plan_conv(const KernelCall& call) {
  if (call.node.op != "Conv") return refuse("{} is no Conv", call.node.op);
  const OperandDesc& x = call.inputs[0];
  const OperandDesc& w = call.inputs[1];
  const OperandDesc& y = call.outputs[0];
  if (const auto suffix = float_suffix(call); !suffix) return Refusal{suffix.reason()};
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

class BlasConv final : public KernelImpl {
 public:
  explicit BlasConv(const Services& services) : services_(services), blas_(services) {}
  std::string_view name() const override { return "cublaslt"; }
  Result<void> supports(const KernelCall& call) const override {
    const Result<BlasCall> plan = plan_conv(call);
    if (!plan) return Refusal{plan.reason()};
    return {};
  }
  std::vector<std::string> variants(const KernelCall& call, int width) const override {
    const Context& context = services_.context();
    const bool is_all = width >= context.num_groups();
    const BlasProduct product = plan_conv(call)->product;
    std::vector<std::string> keys = blas_.variants(product, 0, is_all ? 3 : 2);
    const int sms = is_all ? context.num_sms() / 2 : width * context.sms_per_group();
    for (std::string& key : blas_.variants(product, sms, 1)) keys.push_back(std::move(key));
    return keys;
  }
  std::unique_ptr<Kernel> prepare(const KernelCall& call, const std::string& key) const override {
    const Result<BlasCall> plan = plan_conv(call);
    if (!plan) fail(ErrorKind::kUnsupported, "{}", plan.reason());
    return blas_.prepare(call, *plan, key);
  }

 private:
  Services services_;
  Blas blas_;
};

}  // namespace

std::unique_ptr<KernelImpl> make_blas_conv(const Services& services) {
  return std::make_unique<BlasConv>(services);
}

}  // namespace gacer::cuda
