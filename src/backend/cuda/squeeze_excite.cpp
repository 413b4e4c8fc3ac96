// Squeeze-and-excite by an own kernel: pool, two products and their activations in one launch. How
// many blocks share an image is a variant.

#include "backend/cuda/kernels/squeeze_excite.h"

#include <algorithm>
#include <array>
#include <optional>

#include "backend/cuda/capture.h"
#include "backend/cuda/kernel_list.h"
#include "backend/cuda/own_kernels.h"
#include "backend/cuda/packing.h"
#include "backend/cuda/pointwise.h"
#include "backend/cuda/window_args.h"

namespace gacer::cuda {
namespace {

constexpr std::string_view kFamily = "own/squeeze_excite/c";
constexpr std::array kClusters = {kSqueezeExciteMaxCluster, 4, 2, 1};
constexpr std::size_t kMaxSums = 48 << 10;
/// Beyond this, products of the whole batch read their weights less often.
constexpr std::int64_t kMaxWeights = 1 << 21;

enum Input { kImage, kWeight1, kBias1, kWeight2, kBias2 };

struct SqueezeExcitePlan {
  SqueezeExciteArgs args = {};
  int images = 1;
  std::string suffix;
};

/// Shared memory of a block without copies of weights.
std::size_t sum_bytes(const SqueezeExciteArgs& a, int cluster) {
  const int hidden = std::max(cluster * a.hidden_share, a.hidden_pitch);
  return static_cast<std::size_t>((a.lanes + 1) * a.channels + hidden + a.hidden_share +
                                  a.output_share) *
         sizeof(float);
}

/// A block's rows of both matrices.
std::size_t weight_bytes(const SqueezeExciteArgs& a, std::size_t element) {
  return static_cast<std::size_t>(a.hidden_share * a.channels + a.output_share * a.hidden_pitch) *
         element;
}

/// What depends on how many blocks share an image.
void set_cluster(SqueezeExciteArgs& a, int cluster, int vector, std::size_t most_shared) {
  a.hidden_share = ceil_div(ceil_div(a.hidden, cluster), 4) * 4;
  a.output_share = ceil_div(ceil_div(a.outputs, cluster), 4) * 4;
  const int own_positions = ceil_div(a.positions, cluster);
  a.lanes = std::max(1, std::min(kSqueezeExciteThreads / (a.channels / vector),
                                 ceil_div(own_positions, kSqueezeExciteAhead)));
  const auto element = static_cast<std::size_t>(16 / vector);
  a.is_copied_ahead = sum_bytes(a, cluster) + weight_bytes(a, element) <= most_shared;
}

Result<SqueezeExcitePlan> plan_squeeze_excite(const KernelCall& call) {
  if (call.node.op != "SqueezeExcite") return refuse("{} is no SqueezeExcite", call.node.op);
  const OperandDesc& x = call.inputs[kImage];
  const OperandDesc& y = call.outputs[0];
  const Shape& w1 = call.inputs[kWeight1].shape;
  for (int i = kWeight1; i <= kBias2; ++i)
    if (!call.inputs[static_cast<std::size_t>(i)].is_absent && call.constant(i) == nullptr)
      return refuse("input {} is computed", i);
  const Result<std::string> suffix = float_suffix(call);
  if (!suffix) return Refusal{suffix.reason()};
  const Result<FusedActivation> activation = fused_activation(call);
  if (!activation) return Refusal{activation.reason()};
  const Attributes& attributes = call.node.attributes;
  const auto hidden_activation = parse_activation(attributes.get_string("activation", "identity"));
  if (!hidden_activation) return refuse("an unknown activation");
  const auto vector = static_cast<int>(16 / size_of(x.dtype));
  if (!has_channel_vectors(x, vector)) return refuse("channels do not come in vectors");
  const std::optional<std::int64_t> pitch = position_pitch(x, /*across_images=*/false);
  if (!pitch) return refuse("positions do not follow each other");
  if (own_strides(y)[1] != 1) return refuse("results are no neighbours");
  if (w1.num_elements() > kMaxWeights) return refuse("weights of {} elements", w1.num_elements());

  SqueezeExcitePlan plan;
  plan.images = static_cast<int>(x.shape[0]);
  plan.suffix = *suffix;
  SqueezeExciteArgs& a = plan.args;
  a.channels = static_cast<int>(x.shape[1]);
  a.positions =
      static_cast<int>(x.shape.num_elements() / std::max<std::int64_t>(1, x.shape[0] * x.shape[1]));
  a.hidden = static_cast<int>(w1[0]);
  a.outputs = static_cast<int>(y.shape[1]);
  a.hidden_pitch = ceil_div(a.hidden, vector) * vector;
  a.x_n = own_strides(x)[0];
  a.x_p = *pitch;
  a.y_n = own_strides(y)[0];
  a.hidden_activation = static_cast<int>(*hidden_activation);
  a.hidden_alpha = attributes.get_float("alpha", 0);
  a.hidden_beta = attributes.get_float("beta", 0);
  a.activation = activation->code;
  a.alpha = activation->alpha;
  a.beta = activation->beta;
  set_cluster(a, 1, vector, 0);
  if (sum_bytes(a, 1) + 4 * sizeof(float) * kSqueezeExciteMaxCluster > kMaxSums)
    return refuse("{} channels and {} results are too many for a block", a.channels, a.outputs);
  return plan;
}

/// A matrix with its rows made longer by zeros.
std::vector<std::byte> pack_rows(const Tensor& weight, DType dtype, int columns, int pitch) {
  const std::vector<float> values = floats(weight);
  const auto rows = values.size() / static_cast<std::size_t>(columns);
  std::vector<float> packed(rows * static_cast<std::size_t>(pitch), 0.0F);
  for (std::size_t row = 0; row < rows; ++row)
    std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(row) * columns, columns,
                packed.begin() + static_cast<std::ptrdiff_t>(row) * pitch);
  return bytes_as(dtype, packed);
}

class SqueezeExciteKernel final : public Kernel {
 public:
  SqueezeExciteKernel(const Services& services, const KernelCall& call, SqueezeExcitePlan plan,
                      int cluster)
      : plan_(std::move(plan)),
        cluster_(cluster),
        kernel_(services.kernel("squeeze_excite", "squeeze_excite_" + plan_.suffix)) {
    const DType dtype = call.inputs[kImage].dtype;
    const std::size_t most_shared = services.context().max_shared_bytes();
    set_cluster(plan_.args, cluster, static_cast<int>(16 / size_of(dtype)), most_shared);
    const SqueezeExciteArgs& a = plan_.args;
    shared_bytes_ = sum_bytes(a, cluster);
    if (a.is_copied_ahead) {
      shared_bytes_ += weight_bytes(a, size_of(dtype));
      allow_shared_bytes(services.context(), kernel_, most_shared);
    }
    const auto upload_rows = [&](int input, int columns, int pitch) {
      return services.upload_packed(
          *call.constant(input), fmt::format("rows {} {}", pitch, plan_.suffix),
          [&](const Tensor& w) { return pack_rows(w, dtype, columns, pitch); });
    };
    weight1_ = upload_rows(kWeight1, a.channels, a.channels);
    weight2_ = upload_rows(kWeight2, a.hidden, a.hidden_pitch);
    const auto upload_bias = [&](int input) {
      return call.constant(input) == nullptr
                 ? nullptr
                 : services.upload_packed(*call.constant(input), "f32", pack_f32);
    };
    bias1_ = upload_bias(kBias1);
    bias2_ = upload_bias(kBias2);
  }
  bool reads_input(int input) const override { return input == kImage; }
  void record(const Bindings& bindings, Recorder& recorder) const override {
    const CUstream stream = dynamic_cast<CudaRecorder&>(recorder).stream();
    void* x = bindings.inputs[kImage];
    if (reinterpret_cast<std::uintptr_t>(x) % 16 != 0)
      fail(ErrorKind::kUnsupported, "the image begins at an address that is no multiple of 16");
    const auto blocks = static_cast<unsigned>(cluster_);
    const auto data = [](const std::shared_ptr<CudaBuffer>& buffer) {
      return buffer ? buffer->data() : nullptr;
    };
    launch(stream, kernel_, {static_cast<unsigned>(plan_.images), 1, blocks, blocks},
           {kSqueezeExciteThreads}, static_cast<unsigned>(shared_bytes_), bindings.outputs[0], x,
           data(weight1_), data(bias1_), data(weight2_), data(bias2_), plan_.args);
  }

 private:
  SqueezeExcitePlan plan_;
  int cluster_;
  CUkernel kernel_;
  std::size_t shared_bytes_ = 0;
  std::shared_ptr<CudaBuffer> weight1_;
  std::shared_ptr<CudaBuffer> bias1_;
  std::shared_ptr<CudaBuffer> weight2_;
  std::shared_ptr<CudaBuffer> bias2_;
};

class SqueezeExcite final : public OwnKernels<SqueezeExcitePlan> {
 public:
  explicit SqueezeExcite(const Services& services) : OwnKernels(services) {}
  std::string_view name() const override { return "squeeze_excite"; }
  std::optional<bool> knows(const std::string& key) const override {
    return std::any_of(kClusters.begin(), kClusters.end(),
                       [&](int cluster) { return key == key_of(cluster); });
  }

 private:
  Result<SqueezeExcitePlan> make_plan(const KernelCall& call) const override {
    return plan_squeeze_excite(call);
  }
  std::vector<std::string> keys(const KernelCall& /*call*/,
                                const SqueezeExcitePlan& /*plan*/) const override {
    std::vector<std::string> keys;
    for (const int cluster : kClusters)
      if (has_cluster(cluster)) keys.push_back(key_of(cluster));
    return keys;
  }
  std::unique_ptr<Kernel> build(const KernelCall& call, SqueezeExcitePlan plan,
                                const std::string& key) const override {
    for (const int cluster : kClusters)
      if (has_cluster(cluster) && key == key_of(cluster))
        return std::make_unique<SqueezeExciteKernel>(services(), call, std::move(plan), cluster);
    return nullptr;
  }
  static std::string key_of(int cluster) { return fmt::format("{}{}", kFamily, cluster); }
  bool has_cluster(int cluster) const {
    return cluster == 1 || services().context().has_clusters();
  }
};

}  // namespace

std::unique_ptr<KernelImpl> make_squeeze_excite(const Services& services) {
  return std::make_unique<SqueezeExcite>(services);
}

}  // namespace gacer::cuda
