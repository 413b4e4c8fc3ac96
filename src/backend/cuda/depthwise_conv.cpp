// Depthwise convolution of channels-last images by own kernels: the tile and the channels that a
// thread makes are a variant.

#include <algorithm>
#include <array>

#include "backend/cuda/capture.h"
#include "backend/cuda/kernel_list.h"
#include "backend/cuda/own_kernels.h"
#include "backend/cuda/packing.h"
#include "backend/cuda/window_args.h"

namespace gacer::cuda {
namespace {

constexpr std::string_view kFamily = "own/depthwise/";
constexpr std::int64_t kMostThreads = std::int64_t{1} << 27;  // of kernels for one window

/// What a kernel is made for: windows of kernel² with a stride, or any (0).
struct Form {
  int kernel = 0;
  int stride = 1;
  int tile = 1;          ///< outputs of a thread
  bool is_wide = false;  ///< packs of 16 bytes instead of 8
  std::string text() const {
    return kernel == 0 ? "any"
                       : fmt::format("k{}s{}t{}{}", kernel, stride, tile, is_wide ? "w" : "");
  }
  std::string key() const { return std::string(kFamily) + text(); }
};
constexpr std::array kForms = {Form{3, 1, 4, true},
                               Form{3, 1, 4, false},
                               Form{3, 1, 1, false},
                               Form{3, 2, 2, true},
                               Form{3, 2, 2, false},
                               Form{3, 2, 1, false},
                               Form{5, 1, 4, true},
                               Form{5, 1, 4, false},
                               Form{5, 1, 1, false},
                               Form{5, 2, 2, true},
                               Form{5, 2, 2, false},
                               Form{5, 2, 1, false},
                               Form{}};

struct DepthwisePlan {
  WindowArgs args;
  DType dtype = DType::kF32;
  std::vector<Form> forms;
  std::string suffix;
};

WindowSplit split_of(const Form& form, const WindowArgs& a, DType dtype) {
  const auto vector = static_cast<int>((form.is_wide ? 16 : 8) / size_of(dtype));
  return {make_divisor(a.channels / vector), make_divisor(ceil_div(a.out_w, form.tile)),
          make_divisor(a.out_h)};
}

/// Threads that a form has work for.
std::int64_t num_threads(const Form& form, const WindowArgs& a, DType dtype) {
  const WindowSplit split = split_of(form, a, dtype);
  return std::int64_t{a.batch} * a.out_h * split.tiles.value * split.packs.value;
}

Result<DepthwisePlan> plan(const KernelCall& call) {
  if (call.node.op != "Conv") return refuse("{} is no Conv", call.node.op);
  const OperandDesc& x = call.inputs[0];
  const OperandDesc& w = call.inputs[1];
  const OperandDesc& y = call.outputs[0];
  if (call.constant(1) == nullptr) return refuse("the weight is computed");
  const bool has_bias = call.node.num_op_inputs > 2 && !call.inputs[2].is_absent;
  if (has_bias && call.constant(2) == nullptr) return refuse("the bias is computed");
  const std::int64_t group = call.node.attributes.get_int("group", 1);
  if (group < 2 || w.shape[1] != 1 || w.shape[0] != group)
    return refuse("not depthwise with one filter a channel");
  const Result<std::string> suffix = float_suffix(call);
  if (!suffix) return Refusal{suffix.reason()};
  const Result<FusedActivation> activation = fused_activation(call);
  if (!activation) return Refusal{activation.reason()};
  DepthwisePlan plan;
  const auto vector = static_cast<int>(8 / size_of(x.dtype));
  if (!has_channel_vectors(x, vector) || !has_channel_vectors(y, vector))
    return refuse("channels are not neighbours in groups of {}", vector);
  const Result<WindowArgs> args = window_args(conv_windows(call.node, x.shape, w.shape), x, y);
  if (!args) return Refusal{args.reason()};
  plan.args = *args;
  plan.args.activation = activation->code;
  plan.args.alpha = activation->alpha;
  plan.args.beta = activation->beta;
  plan.suffix = *suffix;
  plan.dtype = x.dtype;
  const WindowArgs& a = plan.args;
  const bool is_square = a.kernel_h == a.kernel_w && a.stride_h == a.stride_w &&
                         a.dilation_h == 1 && a.dilation_w == 1;
  const bool may_be_wide = x.dtype != DType::kF32 && has_channel_vectors(x, 2 * vector) &&
                           has_channel_vectors(y, 2 * vector);
  for (const Form& form : kForms)
    if (is_square && form.kernel == a.kernel_w && form.stride == a.stride_w &&
        (may_be_wide || !form.is_wide) && (form.tile == 1 || a.out_w > 1) &&
        num_threads(form, a, x.dtype) < kMostThreads)
      plan.forms.push_back(form);
  if (plan.forms.empty()) plan.forms.push_back({});
  return plan;
}

/// [C, 1, kh, kw] of any float type as [kh, kw, C] in f32.
std::vector<std::byte> pack_weight(const Tensor& weight) {
  const std::vector<float> values = floats(weight);
  const auto channels = static_cast<std::size_t>(weight.shape()[0]);
  const std::size_t window = values.size() / channels;
  std::vector<float> packed(values.size());
  for (std::size_t c = 0; c < channels; ++c)
    for (std::size_t k = 0; k < window; ++k) packed[k * channels + c] = values[c * window + k];
  return bytes_of(packed);
}

class DepthwiseKernel final : public Kernel {
 public:
  DepthwiseKernel(const Services& services, const KernelCall& call, const DepthwisePlan& plan,
                  const Form& form)
      : args_(plan.args),
        split_(split_of(form, plan.args, plan.dtype)),
        threads_(num_threads(form, plan.args, plan.dtype)),
        alignment_(form.is_wide ? 16 : 8),
        kernel_(
            services.kernel("depthwise", fmt::format("depthwise_{}_{}", form.text(), plan.suffix))),
        weight_(services.upload_packed(*call.constant(1), "depthwise", pack_weight)) {
    if (call.node.num_op_inputs > 2 && !call.inputs[2].is_absent)
      bias_ = services.upload_packed(*call.constant(2), "f32", pack_f32);
  }
  bool reads_input(int input) const override { return input == 0; }
  void record(const Bindings& bindings, Recorder& recorder) const override {
    const CUstream stream = dynamic_cast<CudaRecorder&>(recorder).stream();
    for (const void* pointer : {bindings.inputs[0], bindings.outputs[0]})
      if (reinterpret_cast<std::uintptr_t>(pointer) % alignment_ != 0)
        fail(ErrorKind::kUnsupported, "an operand begins at an address that is no multiple of {}",
             alignment_);
    launch(stream, kernel_, {blocks_for(threads_, kDepthwiseThreads)}, {kDepthwiseThreads}, 0,
           bindings.outputs[0], bindings.inputs[0], weight_->data(),
           bias_ ? bias_->data() : nullptr, args_, split_);
  }

 private:
  WindowArgs args_;
  WindowSplit split_;
  std::int64_t threads_;
  std::uintptr_t alignment_;
  CUkernel kernel_;
  std::shared_ptr<CudaBuffer> weight_;
  std::shared_ptr<CudaBuffer> bias_;
};

class DepthwiseConv final : public OwnKernels<DepthwisePlan> {
 public:
  explicit DepthwiseConv(const Services& services) : OwnKernels(services) {}
  std::string_view name() const override { return "depthwise"; }
  std::optional<bool> knows(const std::string& key) const override {
    return std::any_of(kForms.begin(), kForms.end(),
                       [&](const Form& form) { return key == form.key(); });
  }

 private:
  Result<DepthwisePlan> make_plan(const KernelCall& call) const override { return plan(call); }
  std::vector<std::string> keys(const KernelCall& /*call*/,
                                const DepthwisePlan& plan) const override {
    return keys_of(plan.forms);
  }
  std::unique_ptr<Kernel> build(const KernelCall& call, DepthwisePlan plan,
                                const std::string& key) const override {
    for (const Form& form : plan.forms)
      if (key == form.key()) return std::make_unique<DepthwiseKernel>(services(), call, plan, form);
    return nullptr;
  }
};

}  // namespace

std::unique_ptr<KernelImpl> make_depthwise_conv(const Services& services) {
  return std::make_unique<DepthwiseConv>(services);
}

}  // namespace gacer::cuda
