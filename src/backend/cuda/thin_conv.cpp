// A network's first convolution by an own kernel on tensor cores: no padding of its few channels,
// no copy of the image. The rows of a block are a variant.

#include "backend/cuda/kernels/thin_conv.h"

#include <algorithm>
#include <array>

#include "backend/cuda/capture.h"
#include "backend/cuda/kernel_list.h"
#include "backend/cuda/packing.h"
#include "backend/cuda/window_args.h"

namespace gacer::cuda {
namespace {

constexpr std::string_view kFamily = "own/thin_conv/";
constexpr std::array<int, 3> kRows = {8, 4, 2};
constexpr std::size_t kMaxShared = 96 << 10;  // two blocks share a multiprocessor

struct ThinConvPlan {
  ThinConvArgs args = {};
  int images = 1;
  int filters = 0;
  int tiles = 8;  ///< of 8 filters, made by one block
  std::string suffix;
  std::vector<int> rows;
};

std::size_t shared_bytes(const ThinConvPlan& plan) {
  const ThinConvArgs& a = plan.args;
  const auto steps = static_cast<std::size_t>(a.k_steps);
  const auto patch = static_cast<std::size_t>(a.channels) * static_cast<std::size_t>(a.patch_h) *
                     static_cast<std::size_t>(a.patch_w);
  return steps * static_cast<std::size_t>(plan.tiles) * 256 + steps * 16 * sizeof(int) + patch * 2;
}

void set_rows(ThinConvPlan& plan, int rows) {
  ThinConvArgs& a = plan.args;
  a.patch_h = (rows - 1) * a.stride_h + (a.kernel_h - 1) * a.dilation_h + 1;
  a.patch_w = (kThinConvWidth - 1) * a.stride_w + (a.kernel_w - 1) * a.dilation_w + 1;
}

Result<ThinConvPlan> plan_thin_conv(const KernelCall& call) {
  if (call.node.op != "Conv") return refuse("{} is no Conv", call.node.op);
  const OperandDesc& x = call.inputs[0];
  const OperandDesc& w = call.inputs[1];
  const OperandDesc& y = call.outputs[0];
  if (x.dtype != DType::kF16 && x.dtype != DType::kBF16) return refuse("not a 16-bit image");
  if (call.constant(1) == nullptr) return refuse("the weight is computed");
  const bool has_bias = call.node.num_op_inputs > 2 && !call.inputs[2].is_absent;
  if (has_bias && call.constant(2) == nullptr) return refuse("the bias is computed");
  if (call.node.attributes.get_int("group", 1) != 1) return refuse("groups");
  if (x.shape.rank() > 4 || x.shape[1] >= 8) return refuse("{} channels", x.shape[1]);
  if (w.shape[0] % 16 != 0 || !has_channel_vectors(y, 8))
    return refuse("filters are not neighbours in groups of 16");
  const Result<std::string> suffix = float_suffix(call);
  if (!suffix) return Refusal{suffix.reason()};
  const Result<FusedActivation> activation = fused_activation(call);
  if (!activation) return Refusal{activation.reason()};
  const Result<WindowArgs> window = window_args(conv_windows(call.node, x.shape, w.shape), x, y);
  if (!window) return Refusal{window.reason()};

  ThinConvPlan plan;
  plan.suffix = *suffix;
  plan.images = window->batch;
  plan.filters = static_cast<int>(w.shape[0]);
  plan.tiles = plan.filters % 64 == 0 ? 8 : plan.filters % 32 == 0 ? 4 : 2;
  ThinConvArgs& a = plan.args;
  a.channels = static_cast<int>(x.shape[1]);
  a.in_h = window->in_h;
  a.in_w = window->in_w;
  a.out_h = window->out_h;
  a.out_w = window->out_w;
  a.kernel_h = window->kernel_h;
  a.kernel_w = window->kernel_w;
  a.stride_h = window->stride_h;
  a.stride_w = window->stride_w;
  a.pad_h = window->pad_h;
  a.pad_w = window->pad_w;
  a.dilation_h = window->dilation_h;
  a.dilation_w = window->dilation_w;
  a.k = a.channels * a.kernel_h * a.kernel_w;
  a.k_steps = (a.k + 15) / 16;
  a.x_n = window->x_n;
  a.x_c = window->x_c;
  a.x_h = window->x_h;
  a.x_w = window->x_w;
  a.y_n = window->y_n;
  a.y_h = window->y_h;
  a.y_w = window->y_w;
  a.activation = activation->code;
  a.alpha = activation->alpha;
  a.beta = activation->beta;
  for (const int rows : kRows) {
    set_rows(plan, rows);
    if (shared_bytes(plan) <= kMaxShared) plan.rows.push_back(rows);
  }
  if (plan.rows.empty()) return refuse("the window needs {} bytes of a block", shared_bytes(plan));
  return plan;
}

/// What lane l of a warp takes at tile j and step s: channel of column l / 4 and, of k, the pairs
/// at l % 4 * 2 and 8 further. Channels are dealt so that a thread ends with neighbours.
std::vector<std::byte> pack_weight(const Tensor& weight, DType dtype, const ThinConvPlan& plan) {
  const std::vector<float> values = floats(weight);
  const int k = plan.args.k;
  const int group = std::min(plan.tiles, 4);
  std::vector<float> packed;
  packed.reserve(static_cast<std::size_t>(plan.filters) *
                 static_cast<std::size_t>(plan.args.k_steps) * 16);
  for (int block = 0; block < plan.filters / (8 * plan.tiles); ++block)
    for (int step = 0; step < plan.args.k_steps; ++step)
      for (int tile = 0; tile < plan.tiles; ++tile)
        for (int lane = 0; lane < 32; ++lane) {
          const int column = lane / 4;
          const int filter = block * 8 * plan.tiles + tile / group * 8 * group +
                             column / 2 * 2 * group + tile % group * 2 + column % 2;
          for (int i = 0; i < 4; ++i) {
            const int at = step * 16 + lane % 4 * 2 + i % 2 + i / 2 * 8;
            packed.push_back(at < k ? values[static_cast<std::size_t>(filter * k + at)] : 0.0F);
          }
        }
  return bytes_as(dtype, packed);
}

class ThinConvKernel final : public Kernel {
 public:
  ThinConvKernel(const Services& services, const KernelCall& call, const ThinConvPlan& plan,
                 int rows)
      : plan_(plan),
        rows_(rows),
        kernel_(services.kernel("thin_conv",
                                fmt::format("thin_conv_t{}_{}", plan.tiles, plan.suffix))) {
    set_rows(plan_, rows);
    const DType dtype = call.inputs[0].dtype;
    weight_ = services.upload_packed(*call.constant(1),
                                     fmt::format("thin {} {}", plan.tiles, plan.suffix),
                                     [&](const Tensor& w) { return pack_weight(w, dtype, plan); });
    if (call.node.num_op_inputs > 2 && !call.inputs[2].is_absent)
      bias_ = services.upload_packed(*call.constant(2), "f32", pack_f32);
    allow_shared_bytes(services.context(), kernel_, kMaxShared);
  }
  bool reads_input(int input) const override { return input == 0; }
  void record(const Bindings& bindings, Recorder& recorder) const override {
    const CUstream stream = dynamic_cast<CudaRecorder&>(recorder).stream();
    if (reinterpret_cast<std::uintptr_t>(bindings.outputs[0]) % 16 != 0)
      fail(ErrorKind::kUnsupported, "the result begins at an address that is no multiple of 16");
    const ThinConvArgs& a = plan_.args;
    const int blocks = plan_.images * ((a.out_h + rows_ - 1) / rows_) *
                       ((a.out_w + kThinConvWidth - 1) / kThinConvWidth);
    launch(stream, kernel_,
           {static_cast<unsigned>(blocks), static_cast<unsigned>(plan_.filters / plan_.tiles / 8)},
           {static_cast<unsigned>(32 * rows_)}, static_cast<unsigned>(shared_bytes(plan_)),
           bindings.outputs[0], bindings.inputs[0], weight_->data(),
           bias_ ? bias_->data() : nullptr, a);
  }

 private:
  ThinConvPlan plan_;
  int rows_;
  CUkernel kernel_;
  std::shared_ptr<CudaBuffer> weight_;
  std::shared_ptr<CudaBuffer> bias_;
};

class ThinConv final : public KernelImpl {
 public:
  explicit ThinConv(const Services& services) : services_(services) {}
  std::string_view name() const override { return "thin_conv"; }
  Result<void> supports(const KernelCall& call) const override {
    const Result<ThinConvPlan> plan = plan_thin_conv(call);
    if (!plan) return Refusal{plan.reason()};
    return {};
  }
  std::vector<std::string> variants(const KernelCall& call, int /*width*/) const override {
    std::vector<std::string> keys;
    const Result<ThinConvPlan> plan = plan_thin_conv(call);
    for (const int rows : plan->rows) keys.push_back(make_key(rows));
    return keys;
  }
  std::optional<bool> knows(const std::string& key) const override {
    return key.starts_with(kFamily);
  }
  std::unique_ptr<Kernel> prepare(const KernelCall& call, const std::string& key) const override {
    const Result<ThinConvPlan> plan = plan_thin_conv(call);
    if (!plan) fail(ErrorKind::kUnsupported, "{}", plan.reason());
    for (const int rows : plan->rows)
      if (key == make_key(rows))
        return std::make_unique<ThinConvKernel>(services_, call, *plan, rows);
    fail(ErrorKind::kUnsupported, "'{}' is no variant of this node", key);
  }

 private:
  static std::string make_key(int rows) { return fmt::format("{}r{}", kFamily, rows); }

  Services services_;
};

}  // namespace

std::unique_ptr<KernelImpl> make_thin_conv(const Services& services) {
  return std::make_unique<ThinConv>(services);
}

}  // namespace gacer::cuda
