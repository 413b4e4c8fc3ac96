// Convolutions by cuDNN. Two forms: "fused" has bias and post-ops inside cuDNN's operation graph;
// "plain" leaves them to one generated pass over the result, which is sometimes faster and takes
// every post-op. Images with less than 8 channels are padded first; "fold" makes four pixels of
// such an image one when the stride is 2. Variants are cuDNN's engine configurations, also those it
// suggests for fewer SMs.

#include <algorithm>
#include <array>
#include <cstring>

#include "backend/cuda/capture.h"
#include "backend/cuda/dnn_plan.h"
#include "backend/cuda/kernel_list.h"
#include "backend/cuda/packing.h"
#include "backend/cuda/pointwise.h"
#include "backend/cuda/sm_target.h"
#include "backend/cuda/window_args.h"
#include "base/convert.h"
#include "ops/windows.h"

namespace gacer::cuda {
namespace {

constexpr std::int64_t kPaddedChannels = 8;
constexpr std::int64_t kPackGrain = 1 << 17;  // elements that are worth a thread

struct ConvPlan {
  DnnConv plain;
  std::optional<DnnConv> fused;
  std::vector<int> fused_inputs;  ///< node inputs of kDnnOperand, kDnnOperand + 1, …
  /// What the plain form leaves over, in place on the result; empty without bias and post-ops.
  std::optional<PointwiseSpec> rest;
  std::vector<int> rest_inputs;  ///< node inputs behind rest.in[1], …
  bool is_last = false;          ///< images and weight are told as channels last
  bool pads_channels = false;
  int fold = 1;  ///< pixels of an axis that become channels
  std::string suffix;
};

enum class Form { kFused, kPlain, kFold };
constexpr std::array<std::pair<Form, const char*>, 3> kForms = {
    {{Form::kFused, "fused"}, {Form::kPlain, "plain"}, {Form::kFold, "fold"}}};

/// Sizes or strides of a 1-D image as those of a 2-D one with one row.
std::vector<std::int64_t> with_row(std::vector<std::int64_t> values, std::int64_t row) {
  if (values.size() == 3) values.insert(values.begin() + 2, row);
  return values;
}
std::vector<std::int64_t> spatial(const std::vector<std::int64_t>& values, std::int64_t row) {
  std::vector<std::int64_t> result = values;
  if (result.size() == 1) result.insert(result.begin(), row);
  return result;
}

bool has_one_position(const OperandDesc& image) {
  const std::vector<std::int64_t>& dims = image.shape.dims();
  return std::all_of(dims.begin() + 2, dims.end(), [](std::int64_t size) { return size == 1; });
}

/// Strides with the one that a 1-D image's missing row would have. An image of one position can be
/// told as channels last whatever its layout.
std::vector<std::int64_t> image_strides(const OperandDesc& desc, bool is_last) {
  std::vector<std::int64_t> own = own_strides(desc);
  if (is_last && has_one_position(desc)) std::fill(own.begin() + 2, own.end(), own[0]);
  return with_row(own, own.back() * desc.shape[desc.shape.rank() - 1]);
}

std::optional<DnnPointwise> fused_activation_of(const PostOp& post) {
  DnnPointwise op;
  constexpr float kFar = 1e30F;
  switch (post.activation) {
    case Activation::kRelu:
      op.mode = CUDNN_POINTWISE_RELU_FWD;
      return op;
    case Activation::kLeakyRelu:
      op.mode = CUDNN_POINTWISE_RELU_FWD;
      op.slope = post.alpha;
      return op;
    case Activation::kClip:
      if (post.alpha < -kFar || post.beta > kFar || post.beta == 0) return std::nullopt;
      op.mode = CUDNN_POINTWISE_RELU_FWD;
      op.lower_clip = post.alpha;
      op.upper_clip = post.beta;
      return op;
    case Activation::kSigmoid:
      op.mode = CUDNN_POINTWISE_SIGMOID_FWD;
      return op;
    case Activation::kTanh:
      op.mode = CUDNN_POINTWISE_TANH_FWD;
      return op;
    case Activation::kElu:
      op.mode = CUDNN_POINTWISE_ELU_FWD;
      op.slope = post.alpha;
      return op;
    case Activation::kGelu:
      op.mode = CUDNN_POINTWISE_GELU_FWD;
      return op;
    case Activation::kGeluTanh:
      op.mode = CUDNN_POINTWISE_GELU_APPROX_TANH_FWD;
      return op;
    case Activation::kSilu:
      op.mode = CUDNN_POINTWISE_SWISH_FWD;
      return op;
    case Activation::kHardSwish:
      op.is_hard_swish = true;
      return op;
    default:
      return std::nullopt;
  }
}

bool has_bias(const KernelCall& call) {
  return call.node.num_op_inputs > 2 && !call.inputs[2].is_absent;
}

/// The fused form, if cuDNN can express all post-ops.
void plan_fused(const KernelCall& call, ConvPlan& plan) {
  DnnConv fused = plan.plain;
  fused.has_bias = has_bias(call);
  for (const PostOp& post : call.node.post) {
    if (post.kind == PostOp::Kind::kActivation) {
      const std::optional<DnnPointwise> op = fused_activation_of(post);
      if (!op) return;
      fused.pointwise.push_back(*op);
      continue;
    }
    const OperandDesc& operand = call.inputs[static_cast<std::size_t>(post.input)];
    if (operand.shape != call.outputs[0].shape || operand.dtype != call.outputs[0].dtype) return;
    DnnPointwise op;
    op.mode = post.kind == PostOp::Kind::kAdd ? CUDNN_POINTWISE_ADD : CUDNN_POINTWISE_MUL;
    op.is_binary = true;
    op.operand = kDnnOperand + static_cast<std::int64_t>(plan.fused_inputs.size());
    op.operand_strides = image_strides(operand, plan.is_last);
    plan.fused_inputs.push_back(post.input);
    fused.pointwise.push_back(std::move(op));
  }
  if (fused.has_bias || !fused.pointwise.empty()) plan.fused = std::move(fused);
}

Result<void> plan_rest(const KernelCall& call, ConvPlan& plan) {
  if (!has_bias(call) && call.node.post.empty()) return {};
  const OperandDesc& y = call.outputs[0];
  PointwiseSpec spec;
  spec.dims = y.shape.dims();
  spec.out = {y.dtype, own_strides(y), "", "", "0"};
  spec.in.push_back(spec.out);
  if (has_bias(call)) {
    std::vector<std::int64_t> strides(spec.dims.size(), 0);
    strides[1] = 1;
    spec.in.push_back({DType::kF32, strides, "", "", "0"});
    spec.expression = "x0 + x1";
    plan.rest_inputs.push_back(2);
  }
  if (const auto posts = append_post_ops(call, 0, spec, plan.rest_inputs); !posts)
    return Refusal{posts.reason()};
  plan.rest = std::move(spec);
  return {};
}

/// Makes a padded convolution with stride 2 one with stride 1 on folded images.
Result<void> fold_conv(const KernelCall& call, ConvPlan& plan) {
  DnnConv& conv = plan.plain;
  if (!plan.pads_channels || call.inputs[0].shape.rank() != 4) return refuse("nothing to fold");
  if (conv.strides != std::vector<std::int64_t>{2, 2} ||
      conv.dilations != std::vector<std::int64_t>{1, 1})
    return refuse("not a stride of 2");
  plan.fold = 2;
  conv.x[1] = conv.w[1] = call.inputs[0].shape[1] <= 4 ? 16 : 32;
  for (std::size_t i = 0; i < 2; ++i) {
    const std::int64_t odd = conv.pads_begin[i] % 2;  // an empty tap in front makes it even
    conv.x[2 + i] = (conv.x[2 + i] + 1) / 2;
    conv.w[2 + i] = (conv.w[2 + i] + odd + 1) / 2;
    conv.pads_begin[i] = (conv.pads_begin[i] + odd) / 2;
    conv.pads_end[i] = conv.y[2 + i] - 1 + conv.w[2 + i] - conv.x[2 + i] - conv.pads_begin[i];
    conv.strides[i] = 1;
    if (conv.pads_end[i] < 0) return refuse("the window leaves pixels at the end");
  }
  return {};
}

Result<ConvPlan> plan_conv(const KernelCall& call, Form form = Form::kFused) {
  if (call.node.op != "Conv") return refuse("{} is no Conv", call.node.op);
  const OperandDesc& x = call.inputs[0];
  const OperandDesc& w = call.inputs[1];
  const OperandDesc& y = call.outputs[0];
  if (call.constant(1) == nullptr) return refuse("the weight is computed");
  if (has_bias(call) && call.constant(2) == nullptr) return refuse("the bias is computed");
  const Result<std::string> suffix = float_suffix(call);
  if (!suffix) return Refusal{suffix.reason()};
  const int rank = x.shape.rank();
  if (rank < 3 || rank > 5) return refuse("rank {}", rank);
  if (channel_block(x.layout) > 1 || channel_block(y.layout) > 1) return refuse("blocked layout");
  const std::int64_t group = call.node.attributes.get_int("group", 1);
  ConvPlan plan;
  plan.suffix = *suffix;
  // Row-major strides of images of one position are ambiguous: cuDNN's engine 7 takes the channels
  // for the innermost and then the first stride for 1.
  plan.is_last = y.layout == Layout::kChannelsLast || (has_one_position(x) && has_one_position(y));
  plan.pads_channels = y.layout == Layout::kChannelsLast && group == 1 &&
                       x.shape[1] < kPaddedChannels && x.dtype != DType::kF32 && rank <= 4;
  if (x.layout != y.layout && !plan.pads_channels)
    return refuse("input {} and output {}", to_string(x.layout), to_string(y.layout));

  const Windows windows = conv_windows(call.node, x.shape, w.shape);
  DnnConv& conv = plan.plain;
  conv.dtype = x.dtype;
  conv.allow_tf32 = call.precision == Precision::kTF32;
  conv.x = with_row(x.shape.dims(), 1);
  conv.x_strides = image_strides(x, plan.is_last);
  conv.w = with_row(w.shape.dims(), 1);
  conv.y = with_row(y.shape.dims(), 1);
  conv.y_strides = image_strides(y, plan.is_last);
  conv.pads_begin = spatial(windows.pads_begin, 0);
  conv.pads_end = spatial(windows.pads_end, 0);
  conv.strides = spatial(windows.strides, 1);
  conv.dilations = spatial(windows.dilations, 1);
  if (plan.pads_channels) conv.x[1] = conv.w[1] = kPaddedChannels;
  if (form == Form::kFold)
    if (const auto folded = fold_conv(call, plan); !folded) return Refusal{folded.reason()};
  if (plan.pads_channels) conv.x_strides = dense_strides(Shape(conv.x), Layout::kChannelsLast);
  conv.w_strides =
      dense_strides(Shape(conv.w), plan.is_last ? Layout::kChannelsLast : Layout::kRowMajor);
  plan_fused(call, plan);
  if (const auto rest = plan_rest(call, plan); !rest) return Refusal{rest.reason()};
  return plan;
}

template <typename T>
std::vector<std::byte> move_channels_last(const T* values, const Shape& shape,
                                          std::int64_t channels) {
  const std::int64_t filters = shape[0];
  const std::int64_t own = shape[1];
  const std::int64_t window = shape.num_elements() / std::max<std::int64_t>(filters * own, 1);
  std::vector<std::byte> packed(static_cast<std::size_t>(filters * window * channels) * sizeof(T));
  for_parts(
      filters, std::max<std::int64_t>(1, kPackGrain / std::max<std::int64_t>(own * window, 1)),
      [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t k = begin; k < end; ++k)
          for (std::int64_t c = 0; c < own; ++c)
            for (std::int64_t p = 0; p < window; ++p)
              std::memcpy(packed.data() +
                              static_cast<std::size_t>((k * window + p) * channels + c) * sizeof(T),
                          values + (k * own + c) * window + p, sizeof(T));
      });
  return packed;
}

/// [K, C, …] as [K, …, C] with C padded to `channels`.
std::vector<std::byte> pack_channels_last(const Tensor& weight, DType dtype,
                                          std::int64_t channels) {
  const std::vector<std::byte> bytes = bytes_as(dtype, weight);
  if (size_of(dtype) == 2)
    return move_channels_last(reinterpret_cast<const std::uint16_t*>(bytes.data()), weight.shape(),
                              channels);
  return move_channels_last(reinterpret_cast<const float*>(bytes.data()), weight.shape(), channels);
}

/// The weight of a folded convolution: tap (h, w) goes to the channels of its place in the fold.
std::vector<std::byte> pack_folded(const Tensor& weight, const DnnConv& conv, bool is_odd_h,
                                   bool is_odd_w) {
  const std::vector<float> values = floats(weight);
  const Shape& shape = weight.shape();
  const std::int64_t channels = conv.w[1];
  const std::int64_t slots = channels / 4;
  std::vector<float> packed(static_cast<std::size_t>(Shape(conv.w).num_elements()), 0.0F);
  std::size_t from = 0;
  for (std::int64_t k = 0; k < shape[0]; ++k)
    for (std::int64_t c = 0; c < shape[1]; ++c)
      for (std::int64_t h = 0; h < shape[2]; ++h)
        for (std::int64_t w = 0; w < shape[3]; ++w, ++from) {
          const std::int64_t row = h + (is_odd_h ? 1 : 0);
          const std::int64_t column = w + (is_odd_w ? 1 : 0);
          const std::int64_t place = row % 2 * 2 + column % 2;
          const std::int64_t tap = (k * conv.w[2] + row / 2) * conv.w[3] + column / 2;
          packed[static_cast<std::size_t>(tap * channels + place * slots + c)] = values[from];
        }
  return bytes_as(conv.dtype, packed);
}

class ConvKernel final : public Kernel {
 public:
  ConvKernel(const Services& services, const KernelCall& call, ConvPlan plan,
             std::shared_ptr<const DnnPlan> dnn, bool is_fused)
      : plan_(std::move(plan)), dnn_(std::move(dnn)), is_fused_(is_fused) {
    const DnnConv& conv = plan_.plain;
    const DType dtype = conv.dtype;
    const std::int64_t channels = conv.w[1];
    const Windows windows = conv_windows(call.node, call.inputs[0].shape, call.inputs[1].shape);
    std::string form =
        fmt::format("conv {} {} {} {}", to_string(dtype), plan_.is_last, channels, plan_.fold);
    bool is_odd_h = false;
    bool is_odd_w = false;
    if (plan_.fold == 2) {
      is_odd_h = windows.pads_begin[0] % 2 != 0;
      is_odd_w = windows.pads_begin[1] % 2 != 0;
      form += fmt::format(" {} {}", is_odd_h, is_odd_w);
    }
    weight_ = services.upload_packed(*call.constant(1), form, [&](const Tensor& w) {
      if (plan_.fold == 2) return pack_folded(w, conv, is_odd_h, is_odd_w);
      return plan_.is_last ? pack_channels_last(w, dtype, channels) : bytes_as(dtype, w);
    });
    if (has_bias(call)) {
      const DType type = is_fused ? dtype : DType::kF32;
      bias_ = services.upload_packed(*call.constant(2), to_string(type),
                                     [&](const Tensor& b) { return bytes_as(type, b); });
    }
    if (!is_fused && plan_.rest) rest_.emplace(services, *plan_.rest);
    if (plan_.pads_channels) {
      pad_kernel_ = services.kernel(
          "image", fmt::format("{}_channels_{}_{}", plan_.fold == 1 ? "pad" : "fold", channels,
                               plan_.suffix));
      input_ = call.inputs[0];
      padded_bytes_ =
          align_part(static_cast<std::size_t>(Shape(conv.x).num_elements()) * size_of(dtype));
    }
    const std::vector<int>& used = is_fused ? plan_.fused_inputs : plan_.rest_inputs;
    used_ = used;
    if (bias_) std::erase(used_, 2);
    used_.push_back(0);
  }

  std::size_t workspace_bytes() const override { return padded_bytes_ + dnn_->workspace_bytes(); }
  bool reads_input(int input) const override {
    return std::find(used_.begin(), used_.end(), input) != used_.end();
  }

  void record(const Bindings& bindings, Recorder& recorder) const override {
    const CUstream stream = dynamic_cast<CudaRecorder&>(recorder).stream();
    void* x = bindings.inputs[0];
    auto* workspace = static_cast<std::byte*>(bindings.workspace);
    if (plan_.pads_channels) {
      record_padding(stream, x, workspace);
      x = workspace;
    }
    std::vector<std::pair<std::int64_t, void*>> tensors = {
        {kDnnX, x}, {kDnnW, weight_->data()}, {kDnnY, bindings.outputs[0]}};
    if (is_fused_) {
      if (bias_) tensors.emplace_back(kDnnBias, bias_->data());
      for (std::size_t i = 0; i < plan_.fused_inputs.size(); ++i)
        tensors.emplace_back(kDnnOperand + static_cast<std::int64_t>(i),
                             bindings.inputs[static_cast<std::size_t>(plan_.fused_inputs[i])]);
    }
    for (const auto& [id, pointer] : tensors)
      if (reinterpret_cast<std::uintptr_t>(pointer) % 16 != 0)
        fail(ErrorKind::kUnsupported, "an operand begins at an address that is no multiple of 16");
    dnn_->execute(stream, tensors,
                  dnn_->workspace_bytes() > 0 ? workspace + padded_bytes_ : nullptr);
    if (!rest_) return;
    std::vector<void*> in = {bindings.outputs[0]};
    for (const int input : plan_.rest_inputs)
      in.push_back(bias_ && input == 2 ? bias_->data()
                                       : bindings.inputs[static_cast<std::size_t>(input)]);
    rest_->record(stream, bindings.outputs[0], in);
  }

 private:
  void record_padding(CUstream stream, void* x, void* padded) const {
    constexpr int kThreads = 256;
    const std::vector<std::int64_t> strides = own_strides(input_);
    const Shape& shape = input_.shape;
    const int height = shape.rank() == 4 ? static_cast<int>(shape[2]) : 1;
    const int width = static_cast<int>(shape[shape.rank() - 1]);
    const long long images = shape[0];
    const std::int64_t work = images * plan_.plain.x[2] * plan_.plain.x[3];
    launch(stream, pad_kernel_, {blocks_for(work, kThreads)}, {kThreads}, 0, padded, x,
           static_cast<int>(shape[1]), images, height, width, static_cast<long long>(strides[0]),
           static_cast<long long>(strides[1]),
           static_cast<long long>(shape.rank() == 4 ? strides[2] : 0),
           static_cast<long long>(strides.back()));
  }

  ConvPlan plan_;
  std::shared_ptr<const DnnPlan> dnn_;
  bool is_fused_;
  std::shared_ptr<CudaBuffer> weight_;
  std::shared_ptr<CudaBuffer> bias_;
  std::optional<PointwiseProgram> rest_;
  CUkernel pad_kernel_ = nullptr;
  OperandDesc input_;
  std::size_t padded_bytes_ = 0;
  std::vector<int> used_;
};

class DnnConvImpl final : public KernelImpl {
 public:
  explicit DnnConvImpl(const Services& services) : services_(services), dnn_(services) {}
  std::string_view name() const override { return "cudnn"; }

  Result<void> supports(const KernelCall& call) const override {
    const Result<ConvPlan> plan = plan_conv(call);
    if (!plan) return Refusal{plan.reason()};
    // Images that are parts of larger ones are not taken by every engine: ask.
    const bool is_part = !call.inputs[0].is_dense() || !call.outputs[0].is_dense();
    if (is_part && dnn_.engines(plan->plain, 0).empty())
      return refuse("cuDNN has no engine for these strides");
    return {};
  }

  std::vector<std::string> variants(const KernelCall& call, int width) const override {
    const Result<ConvPlan> plan = plan_conv(call);
    const Context& context = services_.context();
    const bool is_all = width >= context.num_groups();
    std::vector<std::string> keys;
    const std::optional<DnnConv> plain = plan->plain;
    const auto add = [&](const std::optional<DnnConv>& conv, Form form, int sm_target,
                         std::size_t count) {
      if (!conv) return;
      const std::vector<DnnEngine>& engines = dnn_.engines(*conv, sm_target);
      for (std::size_t i = 0; i < std::min(count, engines.size()); ++i)
        keys.push_back(make_key(form, engines[i]));
    };
    if (const Result<ConvPlan> fold = plan_conv(call, Form::kFold))
      add(fold->fused ? fold->fused : fold->plain, Form::kFold, 0, is_all ? 4 : 2);
    add(plan->fused, Form::kFused, 0, is_all ? 5 : 2);
    add(plain, Form::kPlain, 0, plan->fused ? (is_all ? 2 : 1) : 5);
    const int sms = is_all ? context.num_sms() / 2 : width * context.sms_per_group();
    if (plan->fused)
      add(plan->fused, Form::kFused, sms, 2);
    else
      add(plain, Form::kPlain, sms, 2);
    return keys;
  }

  std::optional<bool> knows(const std::string& key) const override { return parse_key(key).ok(); }
  void prepare_ahead(const KernelCall& call, const std::vector<std::string>& keys) const override {
    std::vector<std::pair<DnnConv, DnnEngine>> wanted;
    for (const std::string& key : keys) {
      const Result<std::pair<Form, DnnEngine>> variant = parse_key(key);
      if (!variant) continue;  // prepare() will say why
      const auto& [form, engine] = *variant;
      const Result<ConvPlan> plan = plan_conv(call, form);
      if (!plan) continue;
      const bool is_fused = form != Form::kPlain && plan->fused.has_value();
      wanted.emplace_back(is_fused ? *plan->fused : plan->plain, engine);
      if (!is_fused && plan->rest) PointwiseProgram::compile_ahead(services_, *plan->rest);
    }
    dnn_.build_ahead(wanted);
  }

  std::unique_ptr<Kernel> prepare(const KernelCall& call, const std::string& key) const override {
    const Result<std::pair<Form, DnnEngine>> variant = parse_key(key);
    if (!variant) fail(ErrorKind::kUnsupported, "{}", variant.reason());
    const auto& [form, engine] = *variant;
    Result<ConvPlan> plan = plan_conv(call, form);
    if (!plan) fail(ErrorKind::kUnsupported, "'{}': {}", key, plan.reason());
    if (form == Form::kFused && !plan->fused)
      fail(ErrorKind::kUnsupported, "'{}': nothing to fuse", key);
    const bool is_fused = form != Form::kPlain && plan->fused.has_value();
    auto dnn = dnn_.plan(is_fused ? *plan->fused : plan->plain, engine);
    return std::make_unique<ConvKernel>(services_, call, std::move(*plan), std::move(dnn),
                                        is_fused);
  }

 private:
  /// "cudnn/9.19.0/all/fused/eng12,k2=3"
  static std::string make_key(Form form, const DnnEngine& engine) {
    return fmt::format("cudnn/{}/{}/{}/{}", Dnn::version(), sm_target_text(engine.sm_target),
                       kForms[static_cast<std::size_t>(form)].second, engine.text());
  }
  static Result<std::pair<Form, DnnEngine>> parse_key(const std::string& key) {
    std::vector<std::string> parts;
    std::size_t begin = 0;
    for (std::size_t i = 0; i < 4 && begin != std::string::npos; ++i) {
      const std::size_t slash = key.find('/', begin);
      parts.push_back(key.substr(begin, slash - begin));
      begin = slash == std::string::npos ? slash : slash + 1;
    }
    const auto* form = std::find_if(kForms.begin(), kForms.end(), [&](const auto& entry) {
      return parts.size() == 4 && parts[3] == entry.second;
    });
    if (begin == std::string::npos || parts[0] != "cudnn" || form == kForms.end())
      return refuse("'{}' is no cuDNN variant", key);
    if (parts[1] != Dnn::version())
      return refuse("'{}' was made with cuDNN {}, here is {}", key, parts[1], Dnn::version());
    const std::optional<int> sm_target = parse_sm_target(parts[2]);
    const std::optional<DnnEngine> engine =
        sm_target ? parse_dnn_engine(key.substr(begin), *sm_target) : std::nullopt;
    if (!engine) return refuse("'{}' is no cuDNN variant", key);
    return std::pair(form->first, *engine);
  }

  Services services_;
  mutable Dnn dnn_;
};

}  // namespace

std::unique_ptr<KernelImpl> make_dnn_conv(const Services& services) {
  return std::make_unique<DnnConvImpl>(services);
}

}  // namespace gacer::cuda
