// Local response normalization across channels by an own kernel for any strides.

#include "backend/cuda/kernels/lrn.h"

#include <limits>

#include "backend/cuda/capture.h"
#include "backend/cuda/kernel_list.h"
#include "backend/cuda/own_kernels.h"
#include "backend/cuda/pointwise.h"
#include "backend/cuda/window_args.h"

namespace gacer::cuda {
namespace {

constexpr int kThreads = 128;

struct LrnPlan {
  LrnArgs args;
  std::string suffix;
};

Result<LrnPlan> plan(const KernelCall& call) {
  if (call.node.op != "LRN") return refuse("{} is no LRN", call.node.op);
  if (!call.node.post.empty()) return refuse("LRN takes no post-ops");
  const OperandDesc& x = call.inputs[0];
  const OperandDesc& y = call.outputs[0];
  const int rank = x.shape.rank();
  if (rank < 2 || rank > 4) return refuse("rank {}", rank);
  if (channel_block(x.layout) > 1 || channel_block(y.layout) > 1) return refuse("blocked layout");
  const Result<std::string> suffix = float_suffix(call);
  if (!suffix) return Refusal{suffix.reason()};
  if (x.shape.num_elements() / std::max<std::int64_t>(x.shape[0], 1) >
      std::numeric_limits<int>::max())
    return refuse("an image of more than 2^31 elements");
  const std::int64_t size = call.node.attributes.get_int("size", 1);
  const std::vector<std::int64_t> xs = own_strides(x);
  const std::vector<std::int64_t> ys = own_strides(y);
  LrnPlan plan;
  plan.suffix = *suffix;
  LrnArgs& a = plan.args;
  a.images = x.shape[0];
  a.channels = static_cast<int>(x.shape[1]);
  // No window reaches further than the channels.
  a.before = static_cast<int>(std::min<std::int64_t>((size - 1) / 2, a.channels));
  a.after = static_cast<int>(std::min<std::int64_t>(size / 2, a.channels));
  a.scale = call.node.attributes.get_float("alpha", 1e-4F) / static_cast<float>(size);
  a.beta = call.node.attributes.get_float("beta", 0.75F);
  a.bias = call.node.attributes.get_float("bias", 1.0F);
  a.x_n = xs[0];
  a.x_c = xs[1];
  a.y_n = ys[0];
  a.y_c = ys[1];
  if (rank == 4) {
    a.height = static_cast<int>(x.shape[2]);
    a.x_h = xs[2];
    a.y_h = ys[2];
  }
  if (rank > 2) {
    a.width = static_cast<int>(x.shape[rank - 1]);
    a.x_w = xs.back();
    a.y_w = ys.back();
  }
  a.is_channels_inner = a.y_c == 1;
  return plan;
}

class LrnKernel final : public Kernel {
 public:
  LrnKernel(const Services& services, const LrnPlan& plan)
      : args_(plan.args), kernel_(services.kernel("lrn", "lrn_" + plan.suffix)) {}
  void record(const Bindings& bindings, Recorder& recorder) const override {
    const CUstream stream = dynamic_cast<CudaRecorder&>(recorder).stream();
    const std::int64_t work = args_.images * args_.channels * args_.height * args_.width;
    launch(stream, kernel_, {blocks_for(work, kThreads)}, {kThreads}, 0, bindings.outputs[0],
           bindings.inputs[0], args_);
  }

 private:
  LrnArgs args_;
  CUkernel kernel_;
};

class Lrn final : public OwnKernel<LrnPlan> {
 public:
  explicit Lrn(const Services& services) : OwnKernel(services, "own/lrn") {}
  std::string_view name() const override { return "lrn"; }

 private:
  Result<LrnPlan> make_plan(const KernelCall& call) const override { return plan(call); }
  std::unique_ptr<Kernel> build_only(const KernelCall& /*call*/, LrnPlan plan) const override {
    return std::make_unique<LrnKernel>(services(), plan);
  }
};

}  // namespace

std::unique_ptr<KernelImpl> make_lrn(const Services& services) {
  return std::make_unique<Lrn>(services);
}

}  // namespace gacer::cuda
