// A network's first convolution by an own kernel on tensor cores: no padding of its few channels,
// no copy of the image, which may be f32. The filters and rows of a block are a variant.

#include "backend/cuda/kernels/thin_conv.h"

#include <algorithm>
#include <array>
#include <limits>

#include "backend/cuda/capture.h"
#include "backend/cuda/kernel_list.h"
#include "backend/cuda/own_kernels.h"
#include "backend/cuda/packing.h"
#include "backend/cuda/window_args.h"
#include "base/dtype.h"

namespace gacer::cuda {
namespace {

constexpr std::string_view kFamily = "own/thin_conv/";
constexpr std::array<int, 3> kTiles = {8, 4, 2};
constexpr std::array<int, 3> kRows = {8, 4, 2};
constexpr std::size_t kMaxShared = 96 << 10;  // two blocks share a multiprocessor

/// What one block makes: tiles of 8 filters, rows of the result.
struct Form {
  int tiles = 8;
  int rows = 8;
  std::string key() const { return fmt::format("{}t{}r{}", kFamily, tiles, rows); }
};

struct ThinConvPlan {
  ThinConvArgs args = {};
  int images = 1;
  int filters = 0;
  DType dtype = DType::kF16;  ///< of the product's operands and the result
  bool is_image_f32 = false;
  std::string suffix;
  std::vector<Form> forms;
};

int num_groups(const ThinConvArgs& a) { return (a.channels + kThinConvGroup - 1) / kThinConvGroup; }

std::size_t shared_bytes(const ThinConvPlan& plan, const Form& form) {
  const ThinConvArgs& a = plan.args;
  const auto steps = static_cast<std::size_t>(a.k_steps);
  const auto tiles = static_cast<std::size_t>(form.tiles);
  const auto patch = static_cast<std::size_t>(num_groups(a)) * static_cast<std::size_t>(a.patch_h) *
                     static_cast<std::size_t>(a.patch_w);
  return steps * tiles * 256 + tiles * 8 * sizeof(float) + steps * 4 * sizeof(int) +
         patch * 2 * kThinConvGroup;
}

void set_rows(ThinConvPlan& plan, int rows) {
  ThinConvArgs& a = plan.args;
  a.patch_h = (rows - 1) * a.stride_h + (a.kernel_h - 1) * a.dilation_h + 1;
  a.patch_w = (kThinConvWidth - 1) * a.stride_w + (a.kernel_w - 1) * a.dilation_w + 1;
}

/// Whether the elements of one image have 32-bit offsets, and those that windows see beside it.
bool fits_32_bits(const WindowArgs& window, int channels) {
  constexpr std::int64_t kBeside = 4096;  // rows or columns; a patch has less in shared memory
  return window.x_c * (channels - 1) + window.x_h * (window.in_h + kBeside) +
             window.x_w * (window.in_w + kBeside) <=
         std::numeric_limits<int>::max();
}

Result<ThinConvPlan> plan_thin_conv(const KernelCall& call) {
  if (call.node.op != "Conv") return refuse("{} is no Conv", call.node.op);
  const OperandDesc& x = call.inputs[0];
  const OperandDesc& w = call.inputs[1];
  const OperandDesc& y = call.outputs[0];
  if (y.dtype != DType::kF16 && y.dtype != DType::kBF16) return refuse("not a 16-bit result");
  if (x.dtype != y.dtype && (x.dtype != DType::kF32 || w.dtype != y.dtype))
    return refuse("an image of {} and a weight of {} for a result of {}", to_string(x.dtype),
                  to_string(w.dtype), to_string(y.dtype));
  if (call.constant(1) == nullptr) return refuse("the weight is computed");
  const bool has_bias = call.node.num_op_inputs > 2 && !call.inputs[2].is_absent;
  if (has_bias && call.constant(2) == nullptr) return refuse("the bias is computed");
  if (call.node.attributes.get_int("group", 1) != 1) return refuse("groups");
  if (x.shape.rank() > 4 || x.shape[1] >= 8) return refuse("{} channels", x.shape[1]);
  if (w.shape[0] % 16 != 0 || !has_channel_vectors(y, 8))
    return refuse("filters are not neighbours in groups of 16");
  const Result<std::string> suffix = float_suffix(y.dtype);
  if (!suffix) return Refusal{suffix.reason()};
  const Result<FusedActivation> activation = fused_activation(call);
  if (!activation) return Refusal{activation.reason()};
  const Result<WindowArgs> window = window_args(conv_windows(call.node, x.shape, w.shape), x, y);
  if (!window) return Refusal{window.reason()};

  ThinConvPlan plan;
  plan.suffix = *suffix;
  plan.dtype = y.dtype;
  plan.is_image_f32 = x.dtype == DType::kF32;
  plan.images = window->batch;
  if (plan.images > kMostBlocksYZ) return refuse("a batch of {}", plan.images);
  if (ceil_div(window->out_h, kRows.back()) > kMostBlocksYZ)
    return refuse("{} rows", window->out_h);
  plan.filters = static_cast<int>(w.shape[0]);
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
  a.num_taps = num_groups(a) * a.kernel_h * a.kernel_w;
  a.k_steps = (a.num_taps + 3) / 4;
  if (!fits_32_bits(*window, a.channels)) return refuse("an image whose elements lie 2^31 apart");
  a.x_n = window->x_n;
  a.x_c = static_cast<int>(window->x_c);
  a.x_h = static_cast<int>(window->x_h);
  a.x_w = static_cast<int>(window->x_w);
  a.y_n = window->y_n;
  a.y_h = window->y_h;
  a.y_w = window->y_w;
  a.activation = activation->code;
  a.alpha = activation->alpha;
  a.beta = activation->beta;
  std::size_t least_shared = 0;
  int widest = 0;
  for (const int tiles : kTiles) {
    // Narrower blocks read the image more often: half of the widest is the least that may pay.
    if (plan.filters % (8 * tiles) != 0 || 2 * tiles < widest) continue;
    widest = std::max(widest, tiles);
    for (const int rows : kRows) {
      set_rows(plan, rows);
      least_shared = shared_bytes(plan, {tiles, rows});
      if (least_shared <= kMaxShared) plan.forms.push_back({tiles, rows});
    }
  }
  if (plan.forms.empty()) return refuse("the window needs {} bytes of a block", least_shared);
  return plan;
}

/// What lane l of a warp takes at tile j and step s: the filter of column l / 4 and, of tap
/// s * 4 + l % 4, four channels. Filters are dealt so that a thread ends with neighbours.
std::vector<std::byte> pack_weight(const Tensor& weight, const ThinConvPlan& plan, int tiles) {
  const std::vector<float> values = floats(weight);
  const ThinConvArgs& a = plan.args;
  const int area = a.kernel_h * a.kernel_w;
  const int run = std::min(tiles, 4);
  std::vector<float> packed;
  packed.reserve(static_cast<std::size_t>(plan.filters) * static_cast<std::size_t>(a.k_steps) * 4 *
                 kThinConvGroup);
  for (int block = 0; block < plan.filters / (8 * tiles); ++block)
    for (int step = 0; step < a.k_steps; ++step)
      for (int tile = 0; tile < tiles; ++tile)
        for (int lane = 0; lane < 32; ++lane) {
          const int column = lane / 4;
          const int filter = block * 8 * tiles + tile / run * 8 * run + column / 2 * 2 * run +
                             tile % run * 2 + column % 2;
          const int tap = step * 4 + lane % 4;
          for (int i = 0; i < kThinConvGroup; ++i) {
            const int channel = tap / area * kThinConvGroup + i;
            const int at = (filter * a.channels + channel) * area + tap % area;
            packed.push_back(tap < a.num_taps && channel < a.channels
                                 ? values[static_cast<std::size_t>(at)]
                                 : 0.0F);
          }
        }
  return bytes_as(plan.dtype, packed);
}

class ThinConvKernel final : public Kernel {
 public:
  ThinConvKernel(const Services& services, const KernelCall& call, const ThinConvPlan& plan,
                 const Form& form)
      : plan_(plan),
        form_(form),
        kernel_(services.kernel("thin_conv",
                                fmt::format("thin_conv_t{}_{}{}", form.tiles,
                                            plan.is_image_f32 ? "f32_" : "", plan.suffix))) {
    set_rows(plan_, form.rows);
    plan_.args.filter_blocks = make_divisor(plan.filters / form.tiles / 8);
    weight_ = services.upload_packed(
        *call.constant(1), fmt::format("thin {} {}", form.tiles, plan.suffix),
        [&](const Tensor& w) { return pack_weight(w, plan, form.tiles); });
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
    const Grid grid = {
        static_cast<unsigned>(a.filter_blocks.value * ceil_div(a.out_w, kThinConvWidth)),
        static_cast<unsigned>(ceil_div(a.out_h, form_.rows)), static_cast<unsigned>(plan_.images)};
    launch(stream, kernel_, grid, {static_cast<unsigned>(32 * form_.rows)},
           static_cast<unsigned>(shared_bytes(plan_, form_)), bindings.outputs[0],
           bindings.inputs[0], weight_->data(), bias_ ? bias_->data() : nullptr, a);
  }

 private:
  ThinConvPlan plan_;
  Form form_;
  CUkernel kernel_;
  std::shared_ptr<CudaBuffer> weight_;
  std::shared_ptr<CudaBuffer> bias_;
};

class ThinConv final : public OwnKernels<ThinConvPlan> {
 public:
  explicit ThinConv(const Services& services) : OwnKernels(services) {}
  std::string_view name() const override { return "thin_conv"; }
  std::optional<bool> knows(const std::string& key) const override {
    // Keys of forms that there are no more are foreign: their nodes are measured anew.
    for (const int tiles : kTiles)
      for (const int rows : kRows)
        if (key == Form{tiles, rows}.key()) return true;
    return false;
  }

 private:
  Result<ThinConvPlan> make_plan(const KernelCall& call) const override {
    return plan_thin_conv(call);
  }
  std::vector<std::string> keys(const KernelCall& /*call*/,
                                const ThinConvPlan& plan) const override {
    return keys_of(plan.forms);
  }
  std::unique_ptr<Kernel> build(const KernelCall& call, ThinConvPlan plan,
                                const std::string& key) const override {
    for (const Form& form : plan.forms)
      if (key == form.key()) return std::make_unique<ThinConvKernel>(services(), call, plan, form);
    return nullptr;
  }
};

}  // namespace

std::unique_ptr<KernelImpl> make_thin_conv(const Services& services) {
  return std::make_unique<ThinConv>(services);
}

}  // namespace gacer::cuda
