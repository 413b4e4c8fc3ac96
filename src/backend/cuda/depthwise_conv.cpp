// Depthwise convolution of channels-last images by own kernels: the tile a thread makes is a
// variant.

#include <algorithm>

#include "backend/cuda/capture.h"
#include "backend/cuda/kernel_list.h"
#include "backend/cuda/packing.h"
#include "backend/cuda/window_args.h"

namespace gacer::cuda {
namespace {

constexpr int kThreads = 128;
constexpr std::string_view kFamily = "own/depthwise/";

struct DepthwisePlan {
  WindowArgs args;
  int vector = 1;
  std::vector<std::string> forms;  ///< "k3s1t4"
  std::string suffix;
};

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
  plan.vector = static_cast<int>(8 / size_of(x.dtype));
  if (!has_channel_vectors(x, plan.vector) || !has_channel_vectors(y, plan.vector))
    return refuse("channels are not neighbours in groups of {}", plan.vector);
  const Result<WindowArgs> args = window_args(conv_windows(call.node, x.shape, w.shape), x, y);
  if (!args) return Refusal{args.reason()};
  plan.args = *args;
  plan.args.activation = activation->code;
  plan.args.alpha = activation->alpha;
  plan.args.beta = activation->beta;
  plan.suffix = *suffix;
  const WindowArgs& a = plan.args;
  const bool is_square = a.kernel_h == a.kernel_w && a.stride_h == a.stride_w &&
                         a.dilation_h == 1 && a.dilation_w == 1;
  if (is_square && (a.kernel_w == 3 || a.kernel_w == 5) && (a.stride_w == 1 || a.stride_w == 2)) {
    const std::string form = fmt::format("k{}s{}t", a.kernel_w, a.stride_w);
    if (plan.suffix != "f32" && a.out_w > 1)
      plan.forms.push_back(form + (a.stride_w == 1 ? "4" : "2"));
    plan.forms.push_back(form + "1");
  } else {
    plan.forms.emplace_back("k0s1t1");
  }
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
                  const std::string& form)
      : args_(plan.args),
        vector_(plan.vector),
        tile_(form.back() - '0'),
        kernel_(services.kernel("depthwise", fmt::format("depthwise_{}_{}", form, plan.suffix))),
        weight_(services.upload_packed(*call.constant(1), "depthwise", pack_weight)) {
    if (call.node.num_op_inputs > 2 && !call.inputs[2].is_absent)
      bias_ = services.upload_packed(*call.constant(2), "f32", pack_f32);
  }
  bool reads_input(int input) const override { return input == 0; }
  void record(const Bindings& bindings, Recorder& recorder) const override {
    const CUstream stream = dynamic_cast<CudaRecorder&>(recorder).stream();
    const std::int64_t tiles = (args_.out_w + tile_ - 1) / tile_;
    const std::int64_t work =
        std::int64_t{args_.batch} * args_.out_h * tiles * (args_.channels / vector_);
    launch(stream, kernel_, {blocks_for(work, kThreads)}, {kThreads}, 0, bindings.outputs[0],
           bindings.inputs[0], weight_->data(), bias_ ? bias_->data() : nullptr, args_);
  }

 private:
  WindowArgs args_;
  int vector_;
  int tile_;
  CUkernel kernel_;
  std::shared_ptr<CudaBuffer> weight_;
  std::shared_ptr<CudaBuffer> bias_;
};

class DepthwiseConv final : public KernelImpl {
 public:
  explicit DepthwiseConv(const Services& services) : services_(services) {}
  std::string_view name() const override { return "depthwise"; }
  Result<void> supports(const KernelCall& call) const override {
    const Result<DepthwisePlan> result = plan(call);
    if (!result) return Refusal{result.reason()};
    return {};
  }
  std::vector<std::string> variants(const KernelCall& call, int /*width*/) const override {
    std::vector<std::string> keys;
    const Result<DepthwisePlan> result = plan(call);
    for (const std::string& form : result->forms) keys.push_back(std::string(kFamily) + form);
    return keys;
  }
  std::optional<bool> knows(const std::string& key) const override {
    return key.starts_with(kFamily);
  }
  std::unique_ptr<Kernel> prepare(const KernelCall& call, const std::string& key) const override {
    const Result<DepthwisePlan> result = plan(call);
    if (!result) fail(ErrorKind::kUnsupported, "{}", result.reason());
    for (const std::string& form : result->forms)
      if (key == std::string(kFamily) + form)
        return std::make_unique<DepthwiseKernel>(services_, call, *result, form);
    fail(ErrorKind::kUnsupported, "'{}' is no depthwise variant of this node", key);
  }

 private:
  Services services_;
};

}  // namespace

std::unique_ptr<KernelImpl> make_depthwise_conv(const Services& services) {
  return std::make_unique<DepthwiseConv>(services);
}

}  // namespace gacer::cuda
