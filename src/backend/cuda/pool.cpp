// Max and average pooling, own kernels for any strides.

#include "backend/cuda/capture.h"
#include "backend/cuda/kernel_list.h"
#include "backend/cuda/own_kernels.h"
#include "backend/cuda/window_args.h"

namespace gacer::cuda {
namespace {

constexpr int kThreads = 128;
constexpr std::int64_t kMostPacks = std::int64_t{1} << 27;  // of the kernels for small windows

struct PoolPlan {
  WindowArgs args;
  std::string name;  ///< of the kernel without vectors
  std::string vector_name;
  int vector = 1;  ///< channels a thread of the vector kernel; 1 when strides forbid it
};

/// Threads that the vector kernel has work for.
std::int64_t packs(const PoolPlan& plan) {
  const WindowArgs& a = plan.args;
  return std::int64_t{a.batch} * (a.channels / plan.vector) * a.out_h * a.out_w;
}

Result<PoolPlan> plan(const KernelCall& call) {
  const std::string& op = call.node.op;
  if (op != "MaxPool" && op != "AveragePool") return refuse("{} is no pooling", op);
  if (call.outputs.size() > 1 && !call.outputs[1].is_absent) return refuse("indices as output");
  if (!call.node.post.empty()) return refuse("pooling takes no post-ops");
  const Result<std::string> suffix = float_suffix(call);
  if (!suffix) return Refusal{suffix.reason()};
  const OperandDesc& x = call.inputs[0];
  const OperandDesc& y = call.outputs[0];
  if (channel_block(x.layout) > 1 || channel_block(y.layout) > 1) return refuse("blocked layout");
  const Result<WindowArgs> args = window_args(pool_windows(call.node, x.shape), x, y);
  if (!args) return Refusal{args.reason()};
  PoolPlan plan{*args, "", "", 1};
  plan.args.count_include_pad = call.node.attributes.get_int("count_include_pad", 0) != 0 ? 1 : 0;
  const char* kind = op == "MaxPool" ? "max" : "mean";
  plan.name = fmt::format("{}_pool_{}", kind, *suffix);
  const int vector = static_cast<int>(16 / size_of(x.dtype));
  if (has_channel_vectors(x, vector) && has_channel_vectors(y, vector)) plan.vector = vector;
  const WindowArgs& a = plan.args;
  const bool is_small = a.kernel_h == a.kernel_w && (a.kernel_w == 2 || a.kernel_w == 3) &&
                        a.dilation_h == 1 && a.dilation_w == 1 && packs(plan) < kMostPacks;
  plan.vector_name = is_small ? fmt::format("{}_pool_k{}_{}", kind, a.kernel_w, *suffix)
                              : fmt::format("{}_pool_vec_{}", kind, *suffix);
  return plan;
}

class PoolKernel final : public Kernel {
 public:
  PoolKernel(const Services& services, PoolPlan plan)
      : plan_(std::move(plan)),
        kernel_(services.kernel("pool", plan_.name)),
        vector_kernel_(services.kernel("pool", plan_.vector_name)) {}
  void record(const Bindings& bindings, Recorder& recorder) const override {
    const CUstream stream = dynamic_cast<CudaRecorder&>(recorder).stream();
    void* y = bindings.outputs[0];
    void* x = bindings.inputs[0];
    const bool is_aligned = (reinterpret_cast<std::uintptr_t>(x) % 16 == 0) &&
                            (reinterpret_cast<std::uintptr_t>(y) % 16 == 0);
    const int vector = is_aligned ? plan_.vector : 1;
    const WindowArgs& a = plan_.args;
    const std::int64_t work = std::int64_t{a.batch} * (a.channels / vector) * a.out_h * a.out_w;
    const bool channels_inner = a.x_c == 1;
    const WindowSplit split = {make_divisor(a.channels / vector), make_divisor(a.out_w),
                               make_divisor(a.out_h)};
    launch(stream, vector > 1 ? vector_kernel_ : kernel_, {blocks_for(work, kThreads)}, {kThreads},
           0, y, x, a, channels_inner, split);
  }

 private:
  PoolPlan plan_;
  CUkernel kernel_;
  CUkernel vector_kernel_;
};

class Pool final : public OwnKernel<PoolPlan> {
 public:
  explicit Pool(const Services& services) : OwnKernel(services, "own/pool") {}
  std::string_view name() const override { return "pool"; }

 private:
  Result<PoolPlan> make_plan(const KernelCall& call) const override { return plan(call); }
  std::unique_ptr<Kernel> build_only(const KernelCall& /*call*/, PoolPlan plan) const override {
    return std::make_unique<PoolKernel>(services(), std::move(plan));
  }
};

}  // namespace

std::unique_ptr<KernelImpl> make_pool(const Services& services) {
  return std::make_unique<Pool>(services);
}

}  // namespace gacer::cuda
