// Reductions, softmax and layer normalization by own kernels over dense memory.

#include "backend/cuda/kernels/rows.h"

#include <algorithm>

#include "backend/cuda/capture.h"
#include "backend/cuda/kernel_list.h"
#include "backend/cuda/own_kernels.h"
#include "backend/cuda/packing.h"
#include "backend/cuda/pointwise.h"
#include "backend/cuda/window_args.h"
#include "ops/common.h"

namespace gacer::cuda {
namespace {

/// The numbers of ReduceCode in kernels/rows.cu.
enum class Reduce { kMean, kSum, kMax, kMin };

struct RowsPlan {
  enum class Kind { kReduce, kSoftmax, kLayerNorm } kind = Kind::kReduce;
  std::int64_t outer = 1;
  std::int64_t length = 1;
  std::int64_t inner = 1;
  Reduce reduce = Reduce::kMean;
  bool is_log = false;
  bool has_mean = true;
  float epsilon = 0;
  std::string suffix;
};

/// A reduced range of neighbouring axes in memory order: [outer, length, inner].
Result<RowsPlan> plan_reduce(const KernelCall& call, const std::vector<int>& axes, Reduce reduce) {
  const OperandDesc& x = call.inputs[0];
  if (!x.is_dense() || !call.outputs[0].is_dense()) return refuse("a slice is reduced");
  RowsPlan plan;
  plan.reduce = reduce;
  std::vector<int> order;  // axes in memory order
  for (int axis = 0; axis < x.shape.rank(); ++axis) order.push_back(axis);
  if (x.layout == Layout::kChannelsLast) {
    order.erase(order.begin() + 1);
    order.push_back(1);
  }
  int state = 0;  // before, in, after the range
  for (const int axis : order) {
    if (x.shape[axis] == 1) continue;
    const bool is_reduced = std::find(axes.begin(), axes.end(), axis) != axes.end();
    if (is_reduced && state == 2) return refuse("the reduced axes are not neighbours in memory");
    if (is_reduced) state = 1;
    if (!is_reduced && state == 1) state = 2;
    (is_reduced ? plan.length : state == 0 ? plan.outer : plan.inner) *= x.shape[axis];
  }
  return plan;
}

Result<std::vector<int>> reduced_axes(const KernelCall& call) {
  const int rank = call.inputs[0].shape.rank();
  std::vector<std::int64_t> axes;
  if (call.inputs.size() > 1 && !call.inputs[1].is_absent) {
    const Tensor* tensor = call.constant(1);
    if (tensor == nullptr) return refuse("the axes are computed");
    axes = ints_of(*tensor);
  }
  if (axes.empty()) {
    if (call.node.attributes.get_int("noop_with_empty_axes", 0) != 0) return refuse("no axes");
    for (int axis = 0; axis < rank; ++axis) axes.push_back(axis);
  }
  return normalize_axes(axes, rank);
}

/// Whether a result's elements lie in the order that the reduction writes: that of the operand
/// without the reduced axes.
bool keeps_order(const KernelCall& call) {
  const OperandDesc& x = call.inputs[0];
  const OperandDesc& y = call.outputs[0];
  if (x.layout == Layout::kRowMajor)
    return y.layout == Layout::kRowMajor ||
           has_dense_strides(y.shape, Layout::kRowMajor, dense_strides(y.shape, y.layout));
  return y.shape.rank() == x.shape.rank() &&
         has_dense_strides(y.shape, x.layout, dense_strides(y.shape, y.layout));
}

Result<RowsPlan> plan_softmax(const KernelCall& call) {
  const OperandDesc& x = call.inputs[0];
  if (x.layout != Layout::kRowMajor || !x.is_dense() || !call.outputs[0].is_dense() ||
      call.outputs[0].layout != Layout::kRowMajor)
    return refuse("softmax needs dense row-major operands");
  const int axis = normalize_axis(call.node.attributes.get_int("axis", -1), x.shape.rank());
  RowsPlan plan;
  plan.kind = RowsPlan::Kind::kSoftmax;
  plan.is_log = call.node.op == "LogSoftmax";
  plan.outer = product(x.shape, 0, axis);
  plan.length = x.shape[axis];
  plan.inner = product(x.shape, axis + 1, x.shape.rank());
  return plan;
}

Result<RowsPlan> plan_layer_norm(const KernelCall& call) {
  const OperandDesc& x = call.inputs[0];
  if (x.layout != Layout::kRowMajor || !x.is_dense() || !call.outputs[0].is_dense() ||
      call.outputs[0].layout != Layout::kRowMajor)
    return refuse("layer normalization needs dense row-major operands");
  for (std::size_t i = 1; i < call.outputs.size(); ++i)
    if (!call.outputs[i].is_absent) return refuse("statistics as outputs");
  const int axis = normalize_axis(call.node.attributes.get_int("axis", -1), x.shape.rank());
  RowsPlan plan;
  plan.kind = RowsPlan::Kind::kLayerNorm;
  plan.has_mean = call.node.op == "LayerNormalization";
  plan.outer = product(x.shape, 0, axis);
  plan.length = product(x.shape, axis, x.shape.rank());
  plan.epsilon = call.node.attributes.get_float("epsilon", 1e-5F);
  for (int i = 1; i < call.node.num_op_inputs; ++i) {
    if (call.inputs[static_cast<std::size_t>(i)].is_absent) continue;
    const Tensor* tensor = call.constant(i);
    if (tensor == nullptr) return refuse("operand {} is computed", i);
    if (tensor->num_elements() != plan.length) return refuse("operand {} is broadcast", i);
  }
  return plan;
}

Result<RowsPlan> plan_of(const KernelCall& call) {
  const std::string& op = call.node.op;
  if (op == "Softmax" || op == "LogSoftmax") return plan_softmax(call);
  if (op == "LayerNormalization" || op == "RMSNormalization") return plan_layer_norm(call);
  if (op == "GlobalAveragePool" || op == "GlobalMaxPool") {
    std::vector<int> axes;
    for (int axis = 2; axis < call.inputs[0].shape.rank(); ++axis) axes.push_back(axis);
    return plan_reduce(call, axes, op == "GlobalMaxPool" ? Reduce::kMax : Reduce::kMean);
  }
  static const std::vector<std::pair<std::string, Reduce>> kReductions = {
      {"ReduceMean", Reduce::kMean},
      {"ReduceSum", Reduce::kSum},
      {"ReduceMax", Reduce::kMax},
      {"ReduceMin", Reduce::kMin}};
  for (const auto& [name, reduce] : kReductions) {
    if (op != name) continue;
    const Result<std::vector<int>> axes = reduced_axes(call);
    if (!axes) return Refusal{axes.reason()};
    return plan_reduce(call, *axes, reduce);
  }
  return refuse("{} is no reduction or normalization", op);
}

Result<RowsPlan> plan(const KernelCall& call) {
  for (const auto* operands : {&call.inputs, &call.outputs})
    for (const OperandDesc& desc : *operands)
      if (!desc.is_absent && channel_block(desc.layout) > 1) return refuse("blocked layout");
  Result<RowsPlan> result = plan_of(call);
  if (!result) return result;
  if (!call.node.post.empty()) return refuse("{} takes no post-ops", call.node.op);
  if (result->kind == RowsPlan::Kind::kReduce && !keeps_order(call))
    return refuse("the result lies in another order");
  const Result<std::string> suffix = float_suffix(call);
  if (!suffix) return Refusal{suffix.reason()};
  result.value().suffix = *suffix;
  constexpr std::int64_t kMax = 1 << 30;
  if (result->length > kMax || result->inner > kMax) return refuse("rows of more than 2^30");
  return result;
}

class RowsKernel final : public Kernel {
 public:
  RowsKernel(const Services& services, const KernelCall& call, RowsPlan plan)
      : plan_(std::move(plan)) {
    const auto kernel = [&](const char* name) {
      return services.kernel("rows", fmt::format("{}_{}", name, plan_.suffix));
    };
    switch (plan_.kind) {
      case RowsPlan::Kind::kReduce:
        kernel_ = kernel(plan_.inner == 1 ? "reduce_last" : "reduce_middle");
        vector_ = static_cast<int>(16 / size_of(call.inputs[0].dtype));
        if (plan_.inner > 1) vector_kernel_ = kernel("reduce_middle_vec");
        break;
      case RowsPlan::Kind::kSoftmax:
        kernel_ = kernel("softmax");
        break;
      case RowsPlan::Kind::kLayerNorm:
        kernel_ = kernel("layer_norm");
        scale_ = services.upload_packed(*call.constant(1), "f32", pack_f32);
        if (call.node.num_op_inputs > 2 && !call.inputs[2].is_absent)
          bias_ = services.upload_packed(*call.constant(2), "f32", pack_f32);
        break;
    }
  }
  bool reads_input(int input) const override { return input == 0; }
  void record(const Bindings& bindings, Recorder& recorder) const override {
    const CUstream stream = dynamic_cast<CudaRecorder&>(recorder).stream();
    void* y = bindings.outputs[0];
    void* x = bindings.inputs[0];
    const auto length = static_cast<int>(plan_.length);
    const auto inner = static_cast<int>(plan_.inner);
    const auto outer = static_cast<long long>(plan_.outer);
    switch (plan_.kind) {
      case RowsPlan::Kind::kReduce:
        record_reduce(stream, y, x, outer, length, inner);
        break;
      case RowsPlan::Kind::kSoftmax: {
        const long long rows = outer * inner;
        launch(stream, kernel_, {blocks_for(rows, 1)}, {threads_for(length)}, 0, y, x, rows, length,
               inner, plan_.is_log);
        break;
      }
      case RowsPlan::Kind::kLayerNorm:
        launch(stream, kernel_, {blocks_for(outer, 1)}, {threads_for(length)}, 0, y, x,
               scale_->data(), bias_ ? bias_->data() : nullptr, outer, length, plan_.epsilon,
               plan_.has_mean);
        break;
    }
  }

 private:
  static unsigned threads_for(int length) {
    return static_cast<unsigned>(std::clamp((length + 31) / 32 * 32, 32, 256));
  }
  void record_reduce(CUstream stream, void* y, void* x, long long outer, int length,
                     int inner) const {
    const int code = static_cast<int>(plan_.reduce);
    if (inner == 1) {
      constexpr unsigned kWarps = 4;
      launch(stream, kernel_, {blocks_for(outer, kWarps)}, {kWarps * 32}, 0, y, x, outer, length,
             code);
      return;
    }
    const bool is_aligned = reinterpret_cast<std::uintptr_t>(x) % 16 == 0;
    const int vector = is_aligned && inner % vector_ == 0 ? vector_ : 1;
    // Vectors come in whole warps.
    const unsigned columns = vector > 1 ? kReduceColumns : 16;
    const unsigned most_rows = vector > 1 ? 128 : 16;
    unsigned rows = vector > 1 ? 32 / kReduceColumns : 1;
    while (rows < most_rows && rows * 2 < static_cast<unsigned>(length)) rows *= 2;
    const auto planes = static_cast<unsigned>(std::min<long long>(outer, kMostBlocksYZ));
    launch(stream, vector > 1 ? vector_kernel_ : kernel_,
           {(static_cast<unsigned>(inner / vector) + columns - 1) / columns, planes},
           {columns, rows}, 0, y, x, outer, length, inner, code);
  }

  RowsPlan plan_;
  CUkernel kernel_ = nullptr;
  CUkernel vector_kernel_ = nullptr;
  int vector_ = 1;
  std::shared_ptr<CudaBuffer> scale_;
  std::shared_ptr<CudaBuffer> bias_;
};

class Rows final : public OwnKernel<RowsPlan> {
 public:
  explicit Rows(const Services& services) : OwnKernel(services, "own/rows") {}
  std::string_view name() const override { return "rows"; }

 private:
  Result<RowsPlan> make_plan(const KernelCall& call) const override { return plan(call); }
  std::unique_ptr<Kernel> build_only(const KernelCall& call, RowsPlan plan) const override {
    return std::make_unique<RowsKernel>(services(), call, std::move(plan));
  }
};

}  // namespace

std::unique_ptr<KernelImpl> make_rows(const Services& services) {
  return std::make_unique<Rows>(services);
}

}  // namespace gacer::cuda
