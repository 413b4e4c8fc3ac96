// Transposed convolution by own kernels, for any window, layout, strides and group. Bias and one
// activation are part of the kernel; other post-ops follow as one generated pass over the result.

#include "backend/cuda/kernels/conv_transpose.h"

#include <limits>

#include "backend/cuda/capture.h"
#include "backend/cuda/kernel_list.h"
#include "backend/cuda/own_kernels.h"
#include "backend/cuda/packing.h"
#include "backend/cuda/pointwise.h"
#include "backend/cuda/window_args.h"

namespace gacer::cuda {
namespace {

constexpr int kThreads = 128;
constexpr std::string_view kFamily = "own/conv_transpose/";
constexpr int kFilters = 4;  // that a thread makes, where they divide the filters of a group

struct TransposePlan {
  ConvTransposeArgs args;
  bool has_quad = false;
  int filters = 1;         ///< of a thread
  int channels = 1;        ///< that a thread reads at a time
  bool has_packs = false;  ///< of `filters` in y
  std::string suffix;
  std::optional<PointwiseSpec> rest;  ///< post-ops that the kernel leaves over, in place
  std::vector<int> rest_inputs;       ///< node inputs behind rest.in[1], …
};

bool has_bias(const KernelCall& call) {
  return call.node.num_op_inputs > 2 && !call.inputs[2].is_absent;
}

Result<void> take_post_ops(const KernelCall& call, TransposePlan& plan) {
  if (const Result<FusedActivation> activation = fused_activation(call)) {
    plan.args.activation = activation->code;
    plan.args.alpha = activation->alpha;
    plan.args.beta = activation->beta;
    return {};
  }
  const OperandDesc& y = call.outputs[0];
  PointwiseSpec spec;
  spec.dims = y.shape.dims();
  spec.out = {y.dtype, own_strides(y), "", "", "0"};
  spec.in.push_back(spec.out);
  if (const auto posts = append_post_ops(call, 0, spec, plan.rest_inputs); !posts)
    return Refusal{posts.reason()};
  plan.rest = std::move(spec);
  return {};
}

/// Sizes and strides; the windows see the node from its output.
Result<void> set_geometry(const KernelCall& call, ConvTransposeArgs& a) {
  const OperandDesc& x = call.inputs[0];
  const OperandDesc& w = call.inputs[1];
  const OperandDesc& y = call.outputs[0];
  const Result<WindowArgs> window =
      window_args(conv_transpose_windows(call.node, x.shape, w.shape), y, x);
  if (!window) return Refusal{window.reason()};
  constexpr std::int64_t kMax = std::numeric_limits<int>::max();
  if (w.shape.num_elements() > kMax) return refuse("a weight of more than 2^31 elements");
  a.images = window->batch;
  a.groups = static_cast<int>(call.node.attributes.get_int("group", 1));
  a.channels = static_cast<int>(x.shape[1]) / a.groups;
  a.filters = static_cast<int>(w.shape[1]);
  a.in_h = window->out_h;
  a.in_w = window->out_w;
  a.out_h = window->in_h;
  a.out_w = window->in_w;
  a.kernel_h = window->kernel_h;
  a.kernel_w = window->kernel_w;
  a.stride_h = window->stride_h;
  a.stride_w = window->stride_w;
  a.pad_h = window->pad_h;
  a.pad_w = window->pad_w;
  a.dilation_h = window->dilation_h;
  a.dilation_w = window->dilation_w;
  a.x_n = window->y_n;
  a.x_c = window->y_c;
  a.x_h = window->y_h;
  a.x_w = window->y_w;
  a.y_n = window->x_n;
  a.y_c = window->x_c;
  a.y_h = window->x_h;
  a.y_w = window->x_w;
  return {};
}

Result<TransposePlan> plan(const KernelCall& call) {
  if (call.node.op != "ConvTranspose") return refuse("{} is no ConvTranspose", call.node.op);
  const OperandDesc& x = call.inputs[0];
  const OperandDesc& y = call.outputs[0];
  if (call.constant(1) == nullptr) return refuse("the weight is computed");
  if (has_bias(call) && call.constant(2) == nullptr) return refuse("the bias is computed");
  if (channel_block(x.layout) > 1 || channel_block(y.layout) > 1) return refuse("blocked layout");
  const Result<std::string> suffix = float_suffix(call);
  if (!suffix) return Refusal{suffix.reason()};
  TransposePlan plan;
  plan.suffix = *suffix;
  if (const auto geometry = set_geometry(call, plan.args); !geometry)
    return Refusal{geometry.reason()};
  if (const auto posts = take_post_ops(call, plan); !posts) return Refusal{posts.reason()};
  const ConvTransposeArgs& a = plan.args;
  const bool is_halving = a.kernel_h == 2 && a.kernel_w == 2 && a.stride_h == 2 &&
                          a.stride_w == 2 && a.dilation_h == 1 && a.dilation_w == 1;
  // With output_padding the last positions may meet no input.
  plan.has_quad = is_halving && a.out_h + a.pad_h <= 2 * a.in_h && a.out_w + a.pad_w <= 2 * a.in_w;
  plan.filters = a.filters % kFilters == 0 ? kFilters : 1;
  plan.has_packs = plan.filters > 1 && has_channel_vectors(y, plan.filters);
  const int pack = static_cast<int>(16 / size_of(x.dtype));
  plan.channels = a.channels % pack == 0 && has_channel_vectors(x, pack) ? pack : 1;
  return plan;
}

/// [C, M, kh, kw] as [kh, kw, C, M] in f32; M filters of one group, C channels of all.
std::vector<std::byte> pack_weight(const Tensor& weight) {
  const std::vector<float> values = floats(weight);
  const auto pairs = static_cast<std::size_t>(weight.shape()[0] * weight.shape()[1]);
  const std::size_t window = values.size() / pairs;
  std::vector<float> packed(values.size());
  for (std::size_t pair = 0; pair < pairs; ++pair)
    for (std::size_t k = 0; k < window; ++k) packed[k * pairs + pair] = values[pair * window + k];
  return bytes_of(packed);
}

class TransposeKernel final : public Kernel {
 public:
  TransposeKernel(const Services& services, const KernelCall& call, TransposePlan plan,
                  const std::string& form)
      : plan_(std::move(plan)),
        is_quad_(form == "quad"),
        weight_(services.upload_packed(*call.constant(1), "conv_transpose", pack_weight)) {
    const auto kernel = [&](const char* channels) {
      return services.kernel("conv_transpose", fmt::format("conv_transpose_{}_v{}{}_{}", form,
                                                           plan_.filters, channels, plan_.suffix));
    };
    kernel_ = kernel("x1");
    if (plan_.channels > 1) pack_kernel_ = kernel("xp");
    if (has_bias(call)) bias_ = services.upload_packed(*call.constant(2), "f32", pack_f32);
    if (plan_.rest) rest_.emplace(services, *plan_.rest);
  }
  bool reads_input(int input) const override {
    const std::vector<int>& used = plan_.rest_inputs;
    return input == 0 || std::find(used.begin(), used.end(), input) != used.end();
  }
  void record(const Bindings& bindings, Recorder& recorder) const override {
    const CUstream stream = dynamic_cast<CudaRecorder&>(recorder).stream();
    void* y = bindings.outputs[0];
    void* x = bindings.inputs[0];
    ConvTransposeArgs a = plan_.args;
    const auto is_aligned = [](const void* pointer, std::size_t bytes) {
      return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0;
    };
    constexpr std::size_t kWidestPack = kFilters * sizeof(float);
    a.stores_packs = plan_.has_packs && is_aligned(y, kWidestPack);
    const bool reads_packs = plan_.channels > 1 && is_aligned(x, 16);
    const std::int64_t positions =
        is_quad_ ? std::int64_t{a.in_h} * a.in_w : std::int64_t{a.out_h} * a.out_w;
    const std::int64_t work =
        positions * a.images * (std::int64_t{a.groups} * a.filters / plan_.filters);
    launch(stream, reads_packs ? pack_kernel_ : kernel_, {blocks_for(work, kThreads)}, {kThreads},
           0, y, x, weight_->data(), bias_ ? bias_->data() : nullptr, a);
    if (!rest_) return;
    std::vector<void*> in = {y};
    for (const int input : plan_.rest_inputs)
      in.push_back(bindings.inputs[static_cast<std::size_t>(input)]);
    rest_->record(stream, y, in);
  }

 private:
  TransposePlan plan_;
  bool is_quad_;
  CUkernel kernel_ = nullptr;
  CUkernel pack_kernel_ = nullptr;
  std::shared_ptr<CudaBuffer> weight_;
  std::shared_ptr<CudaBuffer> bias_;
  std::optional<PointwiseProgram> rest_;
};

class ConvTranspose final : public OwnKernels<TransposePlan> {
 public:
  explicit ConvTranspose(const Services& services) : OwnKernels(services) {}
  std::string_view name() const override { return "conv_transpose"; }
  std::optional<bool> knows(const std::string& key) const override {
    return key.starts_with(kFamily);
  }
  void prepare_ahead(const KernelCall& call,
                     const std::vector<std::string>& /*keys*/) const override {
    const Result<TransposePlan> result = plan(call);
    if (result && result->rest) PointwiseProgram::compile_ahead(services(), *result->rest);
  }

 private:
  Result<TransposePlan> make_plan(const KernelCall& call) const override { return plan(call); }
  std::vector<std::string> keys(const KernelCall& /*call*/,
                                const TransposePlan& plan) const override {
    std::vector<std::string> keys;
    for (const std::string& form : forms_of(plan)) keys.push_back(std::string(kFamily) + form);
    return keys;
  }
  std::unique_ptr<Kernel> build(const KernelCall& call, TransposePlan plan,
                                const std::string& key) const override {
    for (const std::string& form : forms_of(plan))
      if (key == std::string(kFamily) + form)
        return std::make_unique<TransposeKernel>(services(), call, std::move(plan), form);
    return nullptr;
  }
  static std::vector<std::string> forms_of(const TransposePlan& plan) {
    if (plan.has_quad) return {"quad", "pixel"};
    return {"pixel"};
  }
};

}  // namespace

std::unique_ptr<KernelImpl> make_conv_transpose(const Services& services) {
  return std::make_unique<ConvTranspose>(services);
}

}  // namespace gacer::cuda
