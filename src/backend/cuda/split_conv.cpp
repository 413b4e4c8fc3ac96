// Convolutions (and those with batch norm and relu before them) whose sums are long and whose
// results are small, by an own kernel: the warps of a block share the sum. How many filters and
// pixels a block makes, how many warps it has and how many blocks share a sum is a variant.

#include "backend/cuda/kernels/split_conv.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "backend/cuda/capture.h"
#include "backend/cuda/kernel_list.h"
#include "backend/cuda/kernels/tiles.h"
#include "backend/cuda/own_kernels.h"
#include "backend/cuda/packing.h"
#include "backend/cuda/pointwise.h"
#include "backend/cuda/window_args.h"
#include "base/convert.h"

namespace gacer::cuda {
namespace {

constexpr std::string_view kFamily = "own/split_conv/";
constexpr int kTile = 16;  // filters
constexpr std::size_t kMaxShared = 144 << 10;
constexpr std::size_t kMaxForms = 5;
constexpr std::size_t kMaxClusterForms = 2;
constexpr int kPackGrain = 1 << 17;  // elements that are worth a thread
/// Beyond this, libraries' kernels for large products have enough to do.
constexpr double kMaxFlop = 4e9;

struct SplitForm {
  int tiles = 1;   ///< of 16 filters
  int groups = 1;  ///< of 8 pixels
  int warps = 8;
  int cluster = 1;  ///< blocks that share a sum
  std::string key() const {
    const std::string block = fmt::format("{}t{}g{}w{}", kFamily, tiles, groups, warps);
    return cluster == 1 ? block : block + fmt::format("c{}", cluster);
  }
};

struct SplitConvPlan {
  SplitConvArgs args = {};
  bool has_prologue = false;
  int operand = kNone;  ///< the node's input
  std::string suffix;
  std::vector<SplitForm> forms;
};

std::size_t shared_bytes(const SplitForm& form) {
  return static_cast<std::size_t>(form.warps * 8 * form.groups * (kTile * form.tiles + 4)) *
         sizeof(float);
}

std::size_t most_shared(const Context& context) {
  return std::min(kMaxShared, context.max_shared_bytes());
}

/// Whether there is a kernel for it that may be launched.
bool is_legal(const SplitForm& form, const Context& context) {
  return form.warps <= most_warps(form.tiles, form.groups) &&
         shared_bytes(form) <= most_shared(context) &&
         (form.cluster == 1 || context.has_clusters());
}

/// Tiles of the result.
int num_tiles(const SplitForm& form, const SplitConvArgs& a) {
  return ceil_div(a.pixels, 8 * form.groups) * ceil_div(a.filters, kTile * form.tiles);
}

/// Rough cycles: what a multiprocessor has to load, multiply and add up, and the latency of each
/// turn. The constants were fitted to the times of all forms for the first 24 convolutions of
/// TimesOfSplitConvolutions (kernel_test.cpp; batches 1 and 8, on an H200): the best of those
/// chosen by them is 1 % behind the best of all in the mean and 6 % at worst.
double estimate(const SplitForm& form, const SplitConvPlan& plan, int num_sms) {
  const SplitConvArgs& a = plan.args;
  constexpr double kBytesPerCycle = 96;  // to a multiprocessor; blocks find what others loaded
  constexpr double kCyclesPerProduct = 1.25;
  constexpr double kSumBytesPerCycle = 24;  // through shared memory
  constexpr double kTurn = 700;
  constexpr double kClusterSync = 2000;
  const int blocks = num_tiles(form, a) * form.cluster;
  const int sharers = form.warps * form.cluster;
  const double bytes =
      a.chunks * chunk_loads(form.tiles, form.groups, plan.has_prologue) * 512.0 / form.cluster;
  const double products = a.chunks * 2.0 * form.tiles * form.groups / form.cluster;
  const double block = std::max(bytes / kBytesPerCycle, products * kCyclesPerProduct);
  const double sums = form.warps * 8.0 * form.groups * kTile * form.tiles * 8 / kSumBytesPerCycle;
  const int unroll = chunks_at_once(form.tiles, form.groups, plan.has_prologue);
  const int waves = ceil_div(blocks, num_sms);
  const int side_by_side =
      std::max(1, resident_warps(form.tiles, form.groups, plan.has_prologue) / form.warps);
  return waves * (block + sums) +
         kTurn * ceil_div(waves, side_by_side) * (1 + ceil_div(a.chunks, sharers * unroll)) +
         (form.cluster > 1 ? kClusterSync : 0);
}

constexpr std::array kTiles = {1, 2, 4};
constexpr std::array kGroups = {1, 2, 4, 8};
constexpr std::array kWarps = {4, 8, 16};
constexpr std::array kClusters = {1, 2, 4, kSplitConvMaxCluster};

/// The form of a key, whether the rating chose it or not: it may come from an older profile.
std::optional<SplitForm> find_form(const std::string& key) {
  for (const int tiles : kTiles)
    for (const int groups : kGroups)
      for (const int warps : kWarps)
        for (const int cluster : kClusters)
          if (const SplitForm form{tiles, groups, warps, cluster}; key == form.key()) return form;
  return std::nullopt;
}

/// The best of each tile without and with clusters, the best tiles first.
std::vector<SplitForm> forms_of(const SplitConvPlan& plan, const Context& context) {
  const SplitConvArgs& a = plan.args;
  std::vector<SplitForm> forms;
  for (const bool has_cluster : {false, true}) {
    std::vector<std::pair<double, SplitForm>> rated;
    for (const int tiles : kTiles)
      for (const int groups : kGroups) {
        if (tiles > 1 && kTile * (tiles - 1) >= a.filters) continue;
        std::pair<double, SplitForm> best = {0, {}};
        for (const int cluster : kClusters)
          for (const int warps : kWarps) {
            const SplitForm form{tiles, groups, warps, cluster};
            if ((cluster > 1) != has_cluster || !is_legal(form, context) ||
                (warps > 4 && warps * cluster > a.chunks))
              continue;
            // Tiles that occupy the device need no help.
            if (has_cluster && num_tiles(form, a) >= context.num_sms()) continue;
            const double cycles = estimate(form, plan, context.num_sms());
            if (best.first == 0 || cycles < best.first) best = {cycles, form};
          }
        if (best.first > 0) rated.push_back(best);
      }
    std::stable_sort(rated.begin(), rated.end(),
                     [](const auto& x, const auto& y) { return x.first < y.first; });
    rated.resize(std::min(rated.size(), has_cluster ? kMaxClusterForms : kMaxForms));
    for (const auto& [cycles, form] : rated) forms.push_back(form);
  }
  return forms;
}

/// An operand (a residual or a gate), then an activation; either may be missing.
Result<void> take_posts(const KernelCall& call, SplitConvPlan& plan) {
  SplitConvArgs& a = plan.args;
  for (const PostOp& post : call.node.post) {
    if (a.activation != 0) return refuse("post-ops after an activation");
    if (post.kind == PostOp::Kind::kActivation) {
      a.activation = static_cast<int>(post.activation);
      a.alpha = post.alpha;
      a.beta = post.beta;
      continue;
    }
    const OperandDesc& operand = call.inputs[static_cast<std::size_t>(post.input)];
    const OperandDesc& y = call.outputs[0];
    if (a.operand_kind != kNoOperand) return refuse("two operands after the convolution");
    if (operand.shape != y.shape || operand.dtype != y.dtype || operand.layout != y.layout)
      return refuse("an operand unlike the result");
    a.operand_kind = post.kind == PostOp::Kind::kAdd ? kAddOperand : kMulOperand;
    plan.operand = post.input;
  }
  return {};
}

bool is_affine(const KernelCall& call) { return call.node.op == "AffineConv"; }

Result<void> set_window(const KernelCall& call, SplitConvArgs& a) {
  const OperandDesc& x = call.inputs[0];
  const OperandDesc& y = call.outputs[0];
  const Shape& w = call.inputs[1].shape;
  const Result<WindowArgs> window = window_args(conv_windows(call.node, x.shape, w), x, y);
  if (!window) return Refusal{window.reason()};
  const std::int64_t chunks_per_tap = (x.shape[1] + kChunk - 1) / kChunk;
  const std::int64_t weights = (w[0] + kTile - 1) / kTile * kTile * chunks_per_tap * kChunk *
                               window->kernel_h * window->kernel_w;
  constexpr std::int64_t kMost = 1 << 30;
  if (x.shape[0] * window->x_n > kMost || y.shape.num_elements() > kMost || weights > kMost)
    return refuse("more than 2^30 elements");
  const auto pitch = position_pitch(y, /*across_images=*/true);
  if (!pitch) return refuse("pixels do not follow each other");
  a.pixels = window->batch * window->out_h * window->out_w;
  a.filters = static_cast<int>(w[0]);
  a.channels = static_cast<int>(x.shape[1]);
  a.chunks_per_tap = make_divisor(static_cast<int>(chunks_per_tap));
  a.chunks = a.chunks_per_tap.value * window->kernel_h * window->kernel_w;
  a.in_h = window->in_h;
  a.in_w = window->in_w;
  a.out_h = make_divisor(window->out_h);
  a.out_w = make_divisor(window->out_w);
  a.kernel_w = make_divisor(window->kernel_w);
  a.stride_h = window->stride_h;
  a.stride_w = window->stride_w;
  a.pad_h = window->pad_h;
  a.pad_w = window->pad_w;
  a.dilation_h = window->dilation_h;
  a.dilation_w = window->dilation_w;
  a.x_n = static_cast<int>(window->x_n);
  a.x_h = static_cast<int>(window->x_h);
  a.x_w = static_cast<int>(window->x_w);
  a.y_w = static_cast<int>(*pitch);
  return {};
}

Result<SplitConvPlan> plan_split_conv(const KernelCall& call, const Context& context) {
  if (call.node.op != "Conv" && !is_affine(call)) return refuse("{} is no Conv", call.node.op);
  const OperandDesc& x = call.inputs[0];
  const OperandDesc& y = call.outputs[0];
  if (x.dtype != DType::kF16 && x.dtype != DType::kBF16) return refuse("not a 16-bit image");
  if (call.node.attributes.get_int("group", 1) != 1) return refuse("groups");
  for (std::size_t i = 1; i < static_cast<std::size_t>(call.node.num_op_inputs); ++i)
    if (!call.inputs[i].is_absent && call.constant(static_cast<int>(i)) == nullptr)
      return refuse("input {} is computed", i);
  if (x.shape.rank() > 4 || !has_channel_vectors(x, 8) || !has_channel_vectors(y, 8))
    return refuse("channels are not neighbours in groups of 8");
  const Result<std::string> suffix = float_suffix(call);
  if (!suffix) return Refusal{suffix.reason()};

  SplitConvPlan plan;
  plan.suffix = *suffix;
  plan.has_prologue = is_affine(call);
  plan.args.has_relu = call.node.attributes.get_int("relu", 0) != 0 ? 1 : 0;
  if (const auto window = set_window(call, plan.args); !window) return Refusal{window.reason()};
  if (const auto posts = take_posts(call, plan); !posts) return Refusal{posts.reason()};
  if (plan.operand != kNone) {
    const OperandDesc& operand = call.inputs[static_cast<std::size_t>(plan.operand)];
    const auto pitch = position_pitch(operand, /*across_images=*/true);
    if (!pitch || !has_channel_vectors(operand, 4))
      return refuse("an operand's pixels do not follow each other");
    plan.args.operand_w = static_cast<int>(*pitch);
  }
  const SplitConvArgs& a = plan.args;
  const double flop = 2.0 * a.pixels * a.filters * a.chunks * kChunk;
  if (flop > kMaxFlop) return refuse("{:.1f} GFLOP are too many for small tiles", flop * 1e-9);
  plan.forms = forms_of(plan, context);
  return plan;
}

/// Weights in the order in which warps load them: tile of filters, tap, chunk of channels, half of
/// the tile, lane (filter lane / 4, channels lane % 4 * 8 …). Missing ones are zero.
std::vector<std::byte> pack_weight(const Tensor& weight, DType dtype, const SplitConvArgs& a) {
  const std::vector<std::byte> bytes = bytes_as(dtype, weight);
  const auto* values = reinterpret_cast<const std::uint16_t*>(bytes.data());
  const int taps = a.chunks / a.chunks_per_tap.value;
  const int tiles = ceil_div(a.filters, kTile);
  std::vector<std::uint16_t> packed(
      static_cast<std::size_t>(tiles) * static_cast<std::size_t>(a.chunks) * kTile * kChunk, 0);
  const auto pack_filter = [&](int filter) {
    const std::uint16_t* from = values + std::ptrdiff_t{filter} * a.channels * taps;
    const int row = filter % kTile;
    for (int channel = 0; channel < a.channels; ++channel) {
      const int lane = row % 8 * 4 + channel % kChunk / 8;
      for (int tap = 0; tap < taps; ++tap, ++from) {
        const int chunk = tap * a.chunks_per_tap.value + channel / kChunk;
        const auto place =
            ((static_cast<std::size_t>(filter / kTile) * static_cast<std::size_t>(a.chunks) +
              static_cast<std::size_t>(chunk)) *
                 2 +
             static_cast<std::size_t>(row / 8)) *
                32 +
            static_cast<std::size_t>(lane);
        packed[place * 8 + static_cast<std::size_t>(channel % 8)] = *from;
      }
    }
  };
  for_parts(a.filters, std::max(1, kPackGrain / (a.channels * taps)),
            [&](std::int64_t begin, std::int64_t end) {
              for (std::int64_t filter = begin; filter < end; ++filter)
                pack_filter(static_cast<int>(filter));
            });
  std::vector<std::byte> result(packed.size() * sizeof(std::uint16_t));
  std::memcpy(result.data(), packed.data(), result.size());
  return result;
}

class SplitConvKernel final : public Kernel {
 public:
  SplitConvKernel(const Services& services, const KernelCall& call, SplitConvPlan plan,
                  const SplitForm& form)
      : plan_(std::move(plan)),
        form_(form),
        kernel_(services.kernel(
            "split_conv", fmt::format("split_{}conv_t{}g{}_{}", plan_.has_prologue ? "affine_" : "",
                                      form.tiles, form.groups, plan_.suffix))) {
    const DType dtype = call.inputs[0].dtype;
    weight_ =
        services.upload_packed(*call.constant(1), "split " + plan_.suffix,
                               [&](const Tensor& w) { return pack_weight(w, dtype, plan_.args); });
    if (call.node.num_op_inputs > 2 && !call.inputs[2].is_absent)
      bias_ = services.upload_packed(*call.constant(2), "f32", pack_f32);
    if (plan_.has_prologue) {
      constexpr int kScale = 3;
      std::vector<float> values = floats(*call.constant(kScale));
      const std::vector<float> shift = floats(*call.constant(kScale + 1));
      values.insert(values.end(), shift.begin(), shift.end());
      affine_ = services.upload(bytes_as(dtype, values));
    }
    allow_shared_bytes(services.context(), kernel_, most_shared(services.context()));
  }
  bool reads_input(int input) const override { return input == 0 || input == plan_.operand; }
  void record(const Bindings& bindings, Recorder& recorder) const override {
    const CUstream stream = dynamic_cast<CudaRecorder&>(recorder).stream();
    void* x = bindings.inputs[0];
    void* y = bindings.outputs[0];
    void* operand =
        plan_.operand == kNone ? nullptr : bindings.inputs[static_cast<std::size_t>(plan_.operand)];
    for (const void* pointer : {x, y, operand})
      if (reinterpret_cast<std::uintptr_t>(pointer) % 16 != 0)
        fail(ErrorKind::kUnsupported, "an operand begins at an address that is no multiple of 16");
    const SplitConvArgs& a = plan_.args;
    launch(stream, kernel_,
           {static_cast<unsigned>(ceil_div(a.pixels, 8 * form_.groups)),
            static_cast<unsigned>(ceil_div(a.filters, kTile * form_.tiles)),
            static_cast<unsigned>(form_.cluster), static_cast<unsigned>(form_.cluster)},
           {static_cast<unsigned>(32 * form_.warps)}, static_cast<unsigned>(shared_bytes(form_)), y,
           x, weight_->data(), bias_ ? bias_->data() : nullptr, operand,
           affine_ ? affine_->data() : nullptr, a);
  }

 private:
  SplitConvPlan plan_;
  SplitForm form_;
  CUkernel kernel_;
  std::shared_ptr<CudaBuffer> weight_;
  std::shared_ptr<CudaBuffer> bias_;
  std::shared_ptr<CudaBuffer> affine_;
};

class SplitConv final : public OwnKernels<SplitConvPlan> {
 public:
  explicit SplitConv(const Services& services) : OwnKernels(services) {}
  std::string_view name() const override { return "split_conv"; }
  std::optional<bool> knows(const std::string& key) const override {
    return find_form(key).has_value();
  }

 private:
  Result<SplitConvPlan> make_plan(const KernelCall& call) const override {
    return plan_split_conv(call, services().context());
  }
  std::vector<std::string> keys(const KernelCall& /*call*/,
                                const SplitConvPlan& plan) const override {
    return keys_of(plan.forms);
  }
  std::unique_ptr<Kernel> build(const KernelCall& call, SplitConvPlan plan,
                                const std::string& key) const override {
    const std::optional<SplitForm> form = find_form(key);
    if (!form || !is_legal(*form, services().context())) return nullptr;
    return std::make_unique<SplitConvKernel>(services(), call, std::move(plan), *form);
  }
};

}  // namespace

std::unique_ptr<KernelImpl> make_split_conv(const Services& services) {
  return std::make_unique<SplitConv>(services);
}

}  // namespace gacer::cuda
