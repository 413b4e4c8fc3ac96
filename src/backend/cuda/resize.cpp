// Resize of the spatial axes of images, in every mode: the host says which input positions make an
// output position and with which weights, the kernel follows its tables.

#include "backend/cuda/kernels/resize.h"

#include <cstring>

#include "backend/cuda/capture.h"
#include "backend/cuda/kernel_list.h"
#include "backend/cuda/own_kernels.h"
#include "backend/cuda/pointwise.h"
#include "backend/cuda/window_args.h"
#include "ops/resize_plan.h"

namespace gacer::cuda {
namespace {

constexpr int kThreads = 128;

struct ResizePlanHere {
  ResizeArgs args;
  std::vector<int> index;     ///< of the axes depth, height, width; -1 outside of the input
  std::vector<float> weight;  ///< beside index
  std::string suffix;
  int vector = 1;
};

/// Constant operands by value; refuses computed ones.
Result<ResizeOperands> constant_operands(const KernelCall& call) {
  std::array<TensorView, 3> views;  // roi, scales, sizes
  for (int i = 1; i <= 3; ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (call.inputs.size() <= at || call.inputs[at].is_absent) continue;
    const Tensor* tensor = call.constant(i);
    const bool is_roi = i == 1;
    if (tensor == nullptr && is_roi) continue;  // used by tf_crop_and_resize alone, see below
    if (tensor == nullptr) return refuse("operand {} is computed", i);
    views[at - 1] = TensorView::of(*tensor);
  }
  if (call.node.attributes.get_string("coordinate_transformation_mode", "half_pixel") ==
          "tf_crop_and_resize" &&
      !views[0])
    return refuse("the region is computed");
  return resize_operands(views[0], views[1], views[2]);
}

void append_axis(const ResizeAxis& axis, std::int64_t out, ResizePlanHere& plan, int& taps) {
  taps = axis.is_identity ? 1 : axis.taps;
  for (std::int64_t o = 0; o < out; ++o)
    for (int tap = 0; tap < taps; ++tap) {
      const auto at = static_cast<std::size_t>(o * taps + tap);
      if (axis.is_identity) {
        plan.index.push_back(static_cast<int>(o));
        plan.weight.push_back(1);
        continue;
      }
      const bool is_outside = axis.is_outside[static_cast<std::size_t>(o)];
      plan.index.push_back(is_outside ? -1 : static_cast<int>(axis.index[at]));
      plan.weight.push_back(axis.weight[at]);
    }
}

Result<ResizePlanHere> plan(const KernelCall& call) {
  if (call.node.op != "Resize") return refuse("{} is no Resize", call.node.op);
  if (!call.node.post.empty()) return refuse("Resize takes no post-ops");
  const OperandDesc& x = call.inputs[0];
  const OperandDesc& y = call.outputs[0];
  const int rank = x.shape.rank();
  if (rank < 3 || rank > 5) return refuse("rank {}", rank);
  if (channel_block(x.layout) > 1 || channel_block(y.layout) > 1) return refuse("blocked layout");
  const Result<std::string> suffix = float_suffix(call);
  if (!suffix) return Refusal{suffix.reason()};
  const Result<ResizeOperands> operands = constant_operands(call);
  if (!operands) return Refusal{operands.reason()};
  const std::vector<ResizeAxis> axes = plan_resize(call.node, x.shape, y.shape, *operands);
  if (!axes[0].is_identity || !axes[1].is_identity) return refuse("batch or channels are resized");
  for (const OperandDesc* image : {&x, &y})
    for (int axis = 1; axis < rank; ++axis)
      if (image->shape[axis] >> 31 != 0) return refuse("axes of more than 2^31 positions");

  ResizePlanHere plan;
  plan.suffix = *suffix;
  ResizeArgs& a = plan.args;
  a.images = y.shape[0];
  a.channels = static_cast<int>(y.shape[1]);
  const std::vector<std::int64_t> xs = own_strides(x);
  const std::vector<std::int64_t> ys = own_strides(y);
  a.x_n = xs[0];
  a.x_c = xs[1];
  a.y_n = ys[0];
  a.y_c = ys[1];
  struct Target {
    int& out;
    int& taps;
    long long& x;
    long long& y;
  };
  const std::array<Target, 3> targets = {{{a.out_d, a.taps_d, a.x_d, a.y_d},
                                          {a.out_h, a.taps_h, a.x_h, a.y_h},
                                          {a.out_w, a.taps_w, a.x_w, a.y_w}}};
  for (int i = 0; i < 3; ++i) {
    const Target& target = targets[static_cast<std::size_t>(i)];
    const int axis = rank - 3 + i;
    const bool is_there = axis >= 2;
    const auto at = static_cast<std::size_t>(axis);
    target.out = is_there ? static_cast<int>(y.shape[axis]) : 1;
    target.x = is_there ? xs[at] : 0;
    target.y = is_there ? ys[at] : 0;
    append_axis(is_there ? axes[at] : ResizeAxis{}, target.out, plan, target.taps);
  }
  a.is_channels_inner = a.y_c == 1 && a.channels > 1;
  a.outside = call.node.attributes.get_float("extrapolation_value", 0.0F);
  const int vector = static_cast<int>(16 / size_of(x.dtype));
  if (has_channel_vectors(x, vector) && has_channel_vectors(y, vector)) plan.vector = vector;
  return plan;
}

class ResizeKernel final : public Kernel {
 public:
  ResizeKernel(const Services& services, const ResizePlanHere& plan)
      : args_(plan.args), vector_(plan.vector) {
    const auto kernel = [&](const char* form) {
      return services.kernel(
          "resize", fmt::format("resize_{}{}{}", form, work(1) > kFew ? "far_" : "", plan.suffix));
    };
    kernel_ = kernel("");
    vector_kernel_ = kernel("vec_");
    index_ = services.upload(std::as_bytes(std::span(plan.index)));
    weight_ = services.upload(std::as_bytes(std::span(plan.weight)));
  }
  bool reads_input(int input) const override { return input == 0; }
  void record(const Bindings& bindings, Recorder& recorder) const override {
    const CUstream stream = dynamic_cast<CudaRecorder&>(recorder).stream();
    void* y = bindings.outputs[0];
    void* x = bindings.inputs[0];
    const bool is_aligned = reinterpret_cast<std::uintptr_t>(x) % 16 == 0 &&
                            reinterpret_cast<std::uintptr_t>(y) % 16 == 0;
    const int vector = is_aligned ? vector_ : 1;
    launch(stream, vector > 1 ? vector_kernel_ : kernel_, {blocks_for(work(vector), kThreads)},
           {kThreads}, 0, y, x, index_->data(), weight_->data(), args_);
  }

 private:
  /// More threads than this, and one grid's stride, would overflow 32 bits.
  static constexpr std::int64_t kFew = std::int64_t{1} << 31;

  std::int64_t work(int vector) const {
    return args_.images * (args_.channels / vector) * args_.out_d * args_.out_h * args_.out_w;
  }

  ResizeArgs args_;
  int vector_;
  CUkernel kernel_ = nullptr;
  CUkernel vector_kernel_ = nullptr;
  std::shared_ptr<CudaBuffer> index_;
  std::shared_ptr<CudaBuffer> weight_;
};

class Resize final : public OwnKernel<ResizePlanHere> {
 public:
  explicit Resize(const Services& services) : OwnKernel(services, "own/resize") {}
  std::string_view name() const override { return "resize"; }

 private:
  Result<ResizePlanHere> make_plan(const KernelCall& call) const override { return plan(call); }
  std::unique_ptr<Kernel> build_only(const KernelCall& /*call*/,
                                     ResizePlanHere plan) const override {
    return std::make_unique<ResizeKernel>(services(), plan);
  }
};

}  // namespace

std::unique_ptr<KernelImpl> make_resize(const Services& services) {
  return std::make_unique<Resize>(services);
}

}  // namespace gacer::cuda
