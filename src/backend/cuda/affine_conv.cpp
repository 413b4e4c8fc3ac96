// Convolutions with batch norm (and relu) before them, in two launches: a generated pass scales and
// shifts the image into the workspace, any kernel for convolutions reads it there. Beside the
// kernels that do both at once (split_conv.cpp); which is faster is for the profile to say.

#include <algorithm>

#include "backend/cuda/capture.h"
#include "backend/cuda/kernel_list.h"
#include "backend/cuda/packing.h"
#include "backend/cuda/pointwise.h"

namespace gacer::cuda {
namespace {

constexpr std::string_view kFamily = "pass+";
constexpr int kBias = 2;
constexpr int kScale = 3;
constexpr int kShift = 4;

/// The convolution alone, its image dense in the workspace.
class InnerCall {
 public:
  explicit InnerCall(const KernelCall& call)
      : node_(make_node(call.node)), call_{call.graph, node_, call.precision, {}, call.outputs} {
    for (std::size_t i = 0; i < node_.inputs.size(); ++i)
      call_.inputs.push_back(call.inputs[static_cast<std::size_t>(outer(static_cast<int>(i)))]);
    call_.inputs[0].strides.clear();
  }
  InnerCall(const InnerCall&) = delete;
  InnerCall& operator=(const InnerCall&) = delete;
  const KernelCall& call() const { return call_; }
  /// The affine convolution's input behind one of the convolution's.
  int outer(int inner) const {
    return inner < node_.num_op_inputs ? inner : inner + kShift + 1 - node_.num_op_inputs;
  }

 private:
  static Node make_node(const Node& affine) {
    Node node = affine;
    node.op = "Conv";
    node.num_op_inputs = affine.inputs[kBias] == kNone ? kBias : kBias + 1;
    node.inputs.erase(node.inputs.begin() + node.num_op_inputs, node.inputs.begin() + kShift + 1);
    for (PostOp& post : node.post)
      if (post.input != kNone) post.input -= kShift + 1 - node.num_op_inputs;
    return node;
  }

  Node node_;
  KernelCall call_;
};

PointwiseSpec make_pass(const KernelCall& call) {
  const OperandDesc& x = call.inputs[0];
  PointwiseSpec spec;
  spec.dims = x.shape.dims();
  spec.out = {x.dtype, dense_strides(x.shape, x.layout), "", "", "0"};
  spec.in.push_back({x.dtype, own_strides(x), "", "", "0"});
  std::vector<std::int64_t> strides(spec.dims.size(), 0);
  strides[1] = 1;
  for (int i = 0; i < 2; ++i) spec.in.push_back({DType::kF32, strides, "", "", "0"});
  const bool has_relu = call.node.attributes.get_int("relu", 0) != 0;
  spec.expression = has_relu ? "max_or_nan(x0 * x1 + x2, 0.0f)" : "x0 * x1 + x2";
  return spec;
}

class AffineConvKernel final : public Kernel {
 public:
  AffineConvKernel(const Services& services, const KernelCall& call, std::unique_ptr<Kernel> conv)
      : conv_(std::move(conv)), pass_(services, make_pass(call)) {
    const InnerCall inner(call);
    for (int i = 0; i < static_cast<int>(inner.call().inputs.size()); ++i)
      outer_.push_back(inner.outer(i));
    scale_ = services.upload_packed(*call.constant(kScale), "f32", pack_f32);
    shift_ = services.upload_packed(*call.constant(kShift), "f32", pack_f32);
    const OperandDesc& x = call.inputs[0];
    image_bytes_ = align_part(static_cast<std::size_t>(x.shape.num_elements()) * size_of(x.dtype));
  }
  std::size_t workspace_bytes() const override { return image_bytes_ + conv_->workspace_bytes(); }
  bool reads_input(int input) const override {
    if (input == 0) return true;
    const auto inner = std::find(outer_.begin(), outer_.end(), input);
    return inner != outer_.end() && conv_->reads_input(static_cast<int>(inner - outer_.begin()));
  }
  void record(const Bindings& bindings, Recorder& recorder) const override {
    auto* image = static_cast<std::byte*>(bindings.workspace);
    const std::vector<void*> in = {bindings.inputs[0], scale_->data(), shift_->data()};
    pass_.record(dynamic_cast<CudaRecorder&>(recorder).stream(), image, in);
    Bindings own;
    for (const int outer : outer_)
      own.inputs.push_back(bindings.inputs[static_cast<std::size_t>(outer)]);
    own.inputs[0] = image;
    own.outputs = bindings.outputs;
    own.workspace = conv_->workspace_bytes() > 0 ? image + image_bytes_ : nullptr;
    conv_->record(own, recorder);
  }

 private:
  std::unique_ptr<Kernel> conv_;
  PointwiseProgram pass_;
  std::vector<int> outer_;  ///< of each input of the convolution
  std::shared_ptr<CudaBuffer> scale_;
  std::shared_ptr<CudaBuffer> shift_;
  std::size_t image_bytes_ = 0;
};

class AffineConv final : public KernelImpl {
 public:
  AffineConv(const Services& services, std::vector<const KernelImpl*> convs)
      : services_(services), convs_(std::move(convs)) {}
  std::string_view name() const override { return "affine_conv"; }
  Result<void> supports(const KernelCall& call) const override {
    if (call.node.op != "AffineConv") return refuse("{} is no AffineConv", call.node.op);
    if (call.constant(kScale) == nullptr || call.constant(kShift) == nullptr)
      return refuse("scale or shift is computed");
    if (channel_block(call.inputs[0].layout) > 1) return refuse("blocked layout");
    const InnerCall inner(call);
    std::string reasons;
    for (const KernelImpl* conv : convs_) {
      const Result<void> supported = conv->supports(inner.call());
      if (supported) return {};
      reasons +=
          fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", conv->name(), supported.reason());
    }
    return Refusal{reasons};
  }
  std::vector<std::string> variants(const KernelCall& call, int width) const override {
    // Best guesses come first, and each has the same pass before it: a few tell enough.
    const std::size_t most = width >= services_.context().num_groups() ? 3 : 1;
    const InnerCall inner(call);
    std::vector<std::string> keys;
    for (const KernelImpl* conv : convs_) {
      if (!conv->supports(inner.call())) continue;
      const std::vector<std::string> own = conv->variants(inner.call(), width);
      for (std::size_t i = 0; i < std::min(most, own.size()); ++i)
        keys.push_back(std::string(kFamily) + own[i]);
    }
    return keys;
  }
  std::optional<bool> knows(const std::string& key) const override {
    if (!key.starts_with(kFamily)) return false;
    return find(key) != nullptr;
  }
  void prepare_ahead(const KernelCall& call, const std::vector<std::string>& keys) const override {
    const InnerCall inner(call);
    PointwiseProgram::compile_ahead(services_, make_pass(call));
    for (const KernelImpl* conv : convs_) {
      std::vector<std::string> own;
      for (const std::string& key : keys)
        if (find(key) == conv) own.push_back(key.substr(kFamily.size()));
      if (!own.empty()) conv->prepare_ahead(inner.call(), own);
    }
  }
  std::unique_ptr<Kernel> prepare(const KernelCall& call, const std::string& key) const override {
    const InnerCall inner(call);
    const KernelImpl* conv = find(key);
    if (conv == nullptr) fail(ErrorKind::kUnsupported, "'{}' is no variant of this node", key);
    if (const auto supported = conv->supports(inner.call()); !supported)
      fail(ErrorKind::kUnsupported, "'{}': {}", key, supported.reason());
    return std::make_unique<AffineConvKernel>(
        services_, call, conv->prepare(inner.call(), key.substr(kFamily.size())));
  }

 private:
  /// Whose key it is, without the pass; nullptr for nobody's.
  const KernelImpl* find(const std::string& key) const {
    if (!key.starts_with(kFamily)) return nullptr;
    const std::string own = key.substr(kFamily.size());
    for (const KernelImpl* conv : convs_)
      if (conv->knows(own) == true) return conv;
    return nullptr;
  }

  Services services_;
  std::vector<const KernelImpl*> convs_;
};

}  // namespace

std::unique_ptr<KernelImpl> make_affine_conv(const Services& services,
                                             std::vector<const KernelImpl*> convolutions) {
  return std::make_unique<AffineConv>(services, std::move(convolutions));
}

}  // namespace gacer::cuda
