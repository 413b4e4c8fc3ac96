// Attention by own kernels: scores never leave the multiprocessor. "rows" is for small heads of any
// type; "tiles", on tensor cores, for 16-bit types; how many warps share a block's keys is a
// variant. What neither does well is refused, and stays two products and a softmax.

#include "ops/attention.h"

#include <algorithm>
#include <array>

#include "backend/cuda/capture.h"
#include "backend/cuda/kernel_list.h"
#include "backend/cuda/kernels/attention.h"
#include "backend/cuda/own_kernels.h"
#include "backend/cuda/pointwise.h"
#include "backend/cuda/window_args.h"

namespace gacer::cuda {
namespace {

constexpr std::string_view kFamily = "own/attention/";
constexpr int kRowWarps = 8;
// What "rows" keeps of a query in shared memory, of which a block may have 48 KiB.
constexpr std::int64_t kRowKeys = 1024;
constexpr std::int64_t kRowChannels = 256;
constexpr std::int64_t kRowWork = 1 << 18;  // products of a head; libraries do larger ones faster
constexpr std::array<int, 3> kTileWarps = {4, 2, 1};

struct AttentionPlan {
  AttentionArgs args;
  bool has_mask = false;
  int tile_size = 0;  ///< of the "tiles" kernel, 0 where it does not fit
  bool has_rows = false;
  std::string suffix;
};

/// Strides by batch, head, position and channel of an operand [B, H, S, D] or [B, S, H*D].
AttentionStrides strides_of(const OperandDesc& desc, std::int64_t channels, bool is_transposed) {
  const std::vector<std::int64_t> own = own_strides(desc);
  if (own.size() == 3) return {own[0], channels * own[2], own[1], own[2]};
  if (is_transposed) return {own[0], own[1], own[3], own[2]};
  return {own[0], own[1], own[2], own[3]};
}

bool is_multiple(const AttentionStrides& strides, long long of) {
  return strides.d == 1 && strides.b % of == 0 && strides.h % of == 0 && strides.s % of == 0;
}

/// The size of the "tiles" kernel that takes these operands, or 0.
int tile_size_of(const AttentionArgs& a) {
  constexpr int kPack = 8;  // 16 bytes
  const int size = std::max(a.head_size, a.value_size);
  const bool fits = a.head_size % kPack == 0 && a.value_size % kPack == 0 && size <= 128 &&
                    is_multiple(a.q, 2) && is_multiple(a.y, 2) && is_multiple(a.k, kPack) &&
                    is_multiple(a.v, kPack);
  if (!fits) return 0;
  return size <= 32 ? 32 : size <= 64 ? 64 : 128;
}

Result<void> set_mask(const KernelCall& call, AttentionPlan& plan) {
  plan.has_mask = call.node.num_op_inputs > 3 && !call.inputs[3].is_absent;
  if (!plan.has_mask) return {};
  const OperandDesc& mask = call.inputs[3];
  if (mask.dtype != call.inputs[0].dtype) return refuse("a mask of {}", to_string(mask.dtype));
  const AttentionArgs& a = plan.args;
  const Shape scores{a.batch, a.heads, a.queries, a.keys};
  const std::vector<std::int64_t> strides = aligned_strides(mask, scores);
  plan.args.mask = {strides[0], strides[1], strides[2], strides[3]};
  return {};
}

Result<AttentionPlan> plan(const KernelCall& call) {
  if (call.node.op != "Attention") return refuse("{} is no Attention", call.node.op);
  if (!call.node.post.empty()) return refuse("Attention takes no post-ops");
  for (int i = 0; i < 3; ++i) {
    const OperandDesc& operand = call.inputs[static_cast<std::size_t>(i)];
    if (operand.dtype != call.outputs[0].dtype)
      return refuse("operand {} is {}", i, to_string(operand.dtype));
    if (channel_block(operand.layout) > 1) return refuse("blocked layout");
  }
  const Result<std::string> suffix = float_suffix(call);
  if (!suffix) return Refusal{suffix.reason()};
  const OperandDesc& q = call.inputs[0];
  const OperandDesc& k = call.inputs[1];
  const OperandDesc& v = call.inputs[2];
  const AttentionShapes shapes = attention_shapes(call.node, q.shape, k.shape, v.shape);
  constexpr std::int64_t kMaxQueries = 1 << 20;  // of which a block makes at least one
  if (shapes.batch > kMostBlocksYZ || shapes.heads > kMostBlocksYZ ||
      shapes.queries > kMaxQueries || shapes.keys > (1 << 30))
    return refuse("{} items of {} heads, {} queries, {} keys", shapes.batch, shapes.heads,
                  shapes.queries, shapes.keys);
  AttentionPlan plan;
  plan.suffix = *suffix;
  AttentionArgs& a = plan.args;
  a.batch = static_cast<int>(shapes.batch);
  a.heads = static_cast<int>(shapes.heads);
  a.queries = static_cast<int>(shapes.queries);
  a.keys = static_cast<int>(shapes.keys);
  a.head_size = static_cast<int>(shapes.head_size);
  a.value_size = static_cast<int>(shapes.value_size);
  const bool is_transposed = call.node.attributes.get_int("k_transposed", 0) != 0;
  a.q = strides_of(q, shapes.head_size, false);
  a.k = strides_of(k, shapes.head_size, is_transposed);
  a.v = strides_of(v, shapes.value_size, false);
  a.y = strides_of(call.outputs[0], shapes.value_size, false);
  a.scale = call.node.attributes.get_float("scale", 1.0F);
  a.is_causal = call.node.attributes.get_int("causal", 0) != 0;
  if (const auto mask = set_mask(call, plan); !mask) return Refusal{mask.reason()};

  const std::int64_t work = shapes.queries * shapes.keys * (shapes.head_size + shapes.value_size);
  plan.has_rows = shapes.keys <= kRowKeys && shapes.head_size <= kRowChannels && work <= kRowWork;
  // Passes ask before values get the type that they will have.
  const bool is_half = q.dtype != DType::kF32 || call.precision == Precision::kF16 ||
                       call.precision == Precision::kBF16;
  if (is_half) plan.tile_size = tile_size_of(a);
  if (plan.tile_size == 0 && !plan.has_rows)
    return refuse("{} queries and {} keys of {} channels do better as products in {}",
                  shapes.queries, shapes.keys, shapes.head_size, to_string(q.dtype));
  return plan;
}

class AttentionKernel final : public Kernel {
 public:
  /// `tile_warps` 0: the "rows" kernel.
  AttentionKernel(const Services& services, AttentionPlan plan, int tile_warps)
      : plan_(std::move(plan)),
        tile_warps_(tile_warps),
        kernel_(services.kernel("attention", tile_warps == 0
                                                 ? fmt::format("attention_rows_{}", plan_.suffix)
                                                 : fmt::format("attention_tiles_{}_{}",
                                                               plan_.tile_size, plan_.suffix))) {}
  bool reads_input(int input) const override { return input < 3 || plan_.has_mask; }
  void record(const Bindings& bindings, Recorder& recorder) const override {
    const CUstream stream = dynamic_cast<CudaRecorder&>(recorder).stream();
    const AttentionArgs& a = plan_.args;
    void* const y = bindings.outputs[0];
    const std::vector<void*>& in = bindings.inputs;
    if (tile_warps_ > 0)
      for (const void* pointer : {y, in[0], in[1], in[2]})
        if (reinterpret_cast<std::uintptr_t>(pointer) % 16 != 0)
          fail(ErrorKind::kUnsupported,
               "an operand begins at an address that is no multiple of 16");
    const int warps = tile_warps_ > 0 ? tile_warps_ : kRowWarps;
    const int queries = warps * (tile_warps_ > 0 ? kAttentionQueries : 1);
    launch(stream, kernel_,
           {blocks_for(a.queries, queries), static_cast<unsigned>(a.heads),
            static_cast<unsigned>(a.batch)},
           {static_cast<unsigned>(32 * warps)}, static_cast<unsigned>(shared_bytes()), y, in[0],
           in[1], in[2], plan_.has_mask ? in[3] : nullptr, a);
  }

 private:
  std::size_t shared_bytes() const {
    const AttentionArgs& a = plan_.args;
    if (tile_warps_ == 0)
      return static_cast<std::size_t>(kRowWarps) * static_cast<std::size_t>(a.head_size + a.keys) *
             sizeof(float);
    constexpr std::size_t kElement = 2;
    return 2 * kElement * static_cast<std::size_t>(kAttentionKeys) *
           static_cast<std::size_t>(plan_.tile_size + kAttentionPad);
  }

  AttentionPlan plan_;
  int tile_warps_;
  CUkernel kernel_;
};

class Attention final : public OwnKernels<AttentionPlan> {
 public:
  explicit Attention(const Services& services) : OwnKernels(services) {}
  std::string_view name() const override { return "attention"; }
  std::optional<bool> knows(const std::string& key) const override {
    return key.starts_with(kFamily);
  }

 private:
  Result<AttentionPlan> make_plan(const KernelCall& call) const override { return plan(call); }
  std::vector<std::string> keys(const KernelCall& call, const AttentionPlan& plan) const override {
    std::vector<std::string> keys;
    for (const auto& [key, warps] : forms_of(call, plan)) keys.push_back(key);
    return keys;
  }
  std::unique_ptr<Kernel> build(const KernelCall& call, AttentionPlan plan,
                                const std::string& key) const override {
    for (const auto& [own, warps] : forms_of(call, plan))
      if (key == own) return std::make_unique<AttentionKernel>(services(), std::move(plan), warps);
    return nullptr;
  }
  /// Keys with the warps of a block of "tiles", 0 for "rows".
  static std::vector<std::pair<std::string, int>> forms_of(const KernelCall& call,
                                                           const AttentionPlan& plan) {
    std::vector<std::pair<std::string, int>> forms;
    if (plan.tile_size > 0 && call.inputs[0].dtype != DType::kF32)
      for (const int warps : kTileWarps)
        if (warps == 1 || (warps - 1) * kAttentionQueries < plan.args.queries)
          forms.emplace_back(fmt::format("{}tiles/w{}", kFamily, warps), warps);
    if (plan.has_rows) forms.emplace_back(fmt::format("{}rows", kFamily), 0);
    return forms;
  }
};

}  // namespace

std::unique_ptr<KernelImpl> make_attention(const Services& services) {
  return std::make_unique<Attention>(services);
}

}  // namespace gacer::cuda
