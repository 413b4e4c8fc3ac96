// Products of a constant weight with few rows (fully connected layers, squeeze-excite, 1x1
// convolutions of small images) by an own kernel that reads the weight at the speed of memory. How
// many columns a block makes and how many warps share k is a variant.

#include "backend/cuda/kernels/few_rows.h"

#include <algorithm>
#include <array>
#include <optional>

#include "backend/cuda/blas_plan.h"
#include "backend/cuda/capture.h"
#include "backend/cuda/kernel_list.h"
#include "backend/cuda/kernels/tiles.h"
#include "backend/cuda/own_kernels.h"
#include "backend/cuda/packing.h"
#include "backend/cuda/window_args.h"
#include "base/dtype.h"

namespace gacer::cuda {
namespace {

constexpr std::int64_t kMaxRows = 64;
constexpr int kAlignment = 16;
constexpr std::size_t kMaxShared = 48 << 10;
constexpr std::string_view kFamily = "own/few_rows/";

struct FewRowsForm {
  int tiles = 1;  ///< of 16 columns
  int warps = 8;
  std::string key() const { return fmt::format("{}t{}w{}", kFamily, tiles, warps); }
};

struct FewRowsPlan {
  BlasCall call;
  FusedActivation activation;
  bool has_rest = false;
  int groups = 1;  ///< of 8 rows
  std::string suffix;
  std::vector<FewRowsForm> forms;
};

std::size_t shared_bytes(const FewRowsForm& form, int groups) {
  return static_cast<std::size_t>(form.warps) * static_cast<std::size_t>(form.tiles) * 16 *
         static_cast<std::size_t>(groups) * 8 * sizeof(float);
}

constexpr std::array<int, 2> kTiles = {1, 2};
constexpr std::array<int, 3> kWarps = {8, 16, 4};

/// Whether there is a kernel for it that may be launched.
bool is_legal(const FewRowsForm& form, int groups) {
  return form.tiles * groups <= 8 && form.warps <= most_warps(form.tiles, groups) &&
         shared_bytes(form, groups) <= kMaxShared;
}

/// The form of a key, worth trying or not: it may come from an older plan.
std::optional<FewRowsForm> find_form(const std::string& key) {
  for (const int tiles : kTiles)
    for (const int warps : kWarps)
      if (const FewRowsForm form{tiles, warps}; key == form.key()) return form;
  return std::nullopt;
}

/// Forms worth trying: enough warps that each has work.
std::vector<FewRowsForm> forms_of(const BlasProduct& p, int groups) {
  constexpr std::int64_t kManyColumns = 2048;
  std::vector<FewRowsForm> forms;
  for (const int tiles : kTiles) {
    if (tiles == 2 && p.n < kManyColumns) continue;
    const int step = kChunk * chunks_at_once(tiles, groups);  // of k that a warp takes at once
    const std::int64_t steps = (p.k + step - 1) / step;
    for (const int warps : kWarps) {
      const FewRowsForm form{tiles, warps};
      if ((warps > 4 && warps / 2 >= steps) || (warps == 4 && steps >= 16)) continue;
      if (is_legal(form, groups)) forms.push_back(form);
    }
  }
  return forms;
}

Result<FewRowsPlan> plan_few_rows(const KernelCall& call, ProductPlanner planner) {
  Result<BlasCall> product = planner(call);
  if (!product) return Refusal{product.reason()};
  FewRowsPlan plan;
  plan.call = std::move(product.value());
  const BlasProduct& p = plan.call.product;
  if (p.dtype != DType::kF16 && p.dtype != DType::kBF16) return refuse("not a 16-bit product");
  if (p.has_c && p.result != p.dtype) return refuse("a residual of {}", to_string(p.result));
  if (!plan.call.packs_b) return refuse("the weight is computed");
  if (p.batch != 1 || p.trans_a) return refuse("more than one product, or a transposed operand");
  if (p.m > kMaxRows) return refuse("{} rows are more than {}", p.m, kMaxRows);
  if (p.k % 8 != 0 || p.lda % 8 != 0) return refuse("rows of {} elements do not align", p.k);
  constexpr std::int64_t kLargest = 1 << 30;
  if (std::max({p.n, p.k, p.lda, p.ldc, p.ldy}) > kLargest) return refuse("too large");
  while (plan.groups * 8 < p.m) plan.groups *= 2;
  const Result<std::string> suffix = float_suffix(p.dtype);
  if (!suffix) return Refusal{suffix.reason()};
  plan.suffix = *suffix;
  plan.forms = forms_of(p, plan.groups);

  using Act = BlasProduct::Act;
  const auto& posts = call.node.post;
  if (p.act == Act::kRelu) plan.activation.code = static_cast<int>(Activation::kRelu);
  if (p.act == Act::kGeluTanh) plan.activation.code = static_cast<int>(Activation::kGeluTanh);
  // What cuBLASLt's epilogues lack and a single activation is: taken here.
  plan.has_rest = plan.call.rest.has_value();
  if (plan.has_rest && p.act == Act::kNone && plan.call.posts_taken + 1 == posts.size() &&
      posts.back().kind == PostOp::Kind::kActivation) {
    plan.activation = {static_cast<int>(posts.back().activation), posts.back().alpha,
                       posts.back().beta};
    plan.has_rest = false;
  }
  return plan;
}

class FewRowsKernel final : public Kernel {
 public:
  FewRowsKernel(const Services& services, const KernelCall& call, FewRowsPlan plan,
                const FewRowsForm& form)
      : plan_(std::move(plan)),
        form_(form),
        kernel_(services.kernel("few_rows", fmt::format("few_rows_t{}g{}_{}", form.tiles,
                                                        plan_.groups, plan_.suffix))) {
    const BlasCall& product = plan_.call;
    const DType dtype = product.product.dtype;
    const std::string type = to_string(dtype);
    const Tensor& weight = *call.constant(product.b);
    if (product.product.trans_b) {
      weight_ = services.upload_as(weight, dtype);
    } else {
      weight_ = services.upload_packed(weight, "transposed " + type, [&](const Tensor& w) {
        return pack_transposed(w, product.product);
      });
    }
    if (!product.bias.empty()) bias_ = services.upload(bytes_as(dtype, product.bias));
    if (plan_.has_rest) rest_.emplace(services, *product.rest);
  }

  bool reads_input(int input) const override {
    const BlasCall& product = plan_.call;
    const auto& rest = product.rest_inputs;
    return input == product.a || input == product.c ||
           (plan_.has_rest && std::find(rest.begin(), rest.end(), input) != rest.end());
  }

  void record(const Bindings& bindings, Recorder& recorder) const override {
    const CUstream stream = dynamic_cast<CudaRecorder&>(recorder).stream();
    const auto input = [&](int i) { return bindings.inputs[static_cast<std::size_t>(i)]; };
    const BlasProduct& p = plan_.call.product;
    void* x = input(plan_.call.a);
    void* y = bindings.outputs[0];
    void* c = p.has_c ? input(plan_.call.c) : nullptr;
    if (reinterpret_cast<std::uintptr_t>(x) % kAlignment != 0)
      fail(ErrorKind::kUnsupported, "an operand begins at an address that is no multiple of {}",
           kAlignment);
    FewRowsArgs args = {};
    args.m = static_cast<int>(p.m);
    args.n = static_cast<int>(p.n);
    args.k = static_cast<int>(p.k);
    args.x_pitch = static_cast<int>(p.lda);
    args.w_pitch = static_cast<int>(p.k);
    args.c_pitch = static_cast<int>(p.ldc);
    args.y_pitch = static_cast<int>(p.ldy);
    args.is_result_f32 = p.result == DType::kF32;
    args.alpha = p.alpha;
    args.activation = plan_.activation.code;
    args.activation_alpha = plan_.activation.alpha;
    args.activation_beta = plan_.activation.beta;
    const std::int64_t wide = 16 * std::int64_t{form_.tiles};
    launch(stream, kernel_, {static_cast<unsigned>((p.n + wide - 1) / wide)},
           {static_cast<unsigned>(32 * form_.warps)},
           static_cast<unsigned>(shared_bytes(form_, plan_.groups)), y, x, weight_->data(), c,
           bias_ ? bias_->data() : nullptr, args);
    if (!rest_) return;
    std::vector<void*> in = {y};
    for (const int i : plan_.call.rest_inputs) in.push_back(input(i));
    rest_->record(stream, y, in);
  }

 private:
  /// [K, N] with a pitch as [N, K].
  static std::vector<std::byte> pack_transposed(const Tensor& weight, const BlasProduct& p) {
    const std::vector<float> values = floats(weight);
    std::vector<float> packed(static_cast<std::size_t>(p.n * p.k));
    for (std::int64_t k = 0; k < p.k; ++k)
      for (std::int64_t n = 0; n < p.n; ++n)
        packed[static_cast<std::size_t>(n * p.k + k)] =
            values[static_cast<std::size_t>(k * p.ldb + n)];
    return bytes_as(p.dtype, packed);
  }

  FewRowsPlan plan_;
  FewRowsForm form_;
  CUkernel kernel_;
  std::shared_ptr<CudaBuffer> weight_;
  std::shared_ptr<CudaBuffer> bias_;
  std::optional<PointwiseProgram> rest_;
};

class FewRows final : public OwnKernels<FewRowsPlan> {
 public:
  FewRows(const Services& services, ProductPlanner planner)
      : OwnKernels(services), planner_(planner) {}
  std::string_view name() const override { return "few_rows"; }
  std::optional<bool> knows(const std::string& key) const override {
    return key.starts_with(kFamily);
  }

 private:
  Result<FewRowsPlan> make_plan(const KernelCall& call) const override {
    return plan_few_rows(call, planner_);
  }
  std::vector<std::string> keys(const KernelCall& /*call*/,
                                const FewRowsPlan& plan) const override {
    return keys_of(plan.forms);
  }
  std::unique_ptr<Kernel> build(const KernelCall& call, FewRowsPlan plan,
                                const std::string& key) const override {
    const std::optional<FewRowsForm> form = find_form(key);
    if (!form || !is_legal(*form, plan.groups)) return nullptr;
    return std::make_unique<FewRowsKernel>(services(), call, std::move(plan), *form);
  }

  ProductPlanner planner_;
};

}  // namespace

std::unique_ptr<KernelImpl> make_few_rows_conv(const Services& services) {
  return std::make_unique<FewRows>(services, plan_conv_product);
}

std::unique_ptr<KernelImpl> make_few_rows_matmul(const Services& services) {
  return std::make_unique<FewRows>(services, plan_matmul_product);
}

}  // namespace gacer::cuda
