#include <algorithm>

#include "backend/cpu/kernels.h"
#include "backend/cpu/loops/storage.h"
#include "backend/cpu/recorder.h"
#include "backend/cpu/strided_copy.h"
#include "backend/cpu/variant_key.h"
#include "ops/op_def.h"

namespace gacer::cpu {
namespace {

constexpr std::string_view kFamily = "plain";
constexpr std::size_t kAlignment = 64;

/// How one operand reaches the reference loops: in place, packed through the workspace, or from the
/// constant that the kernel keeps.
struct Operand {
  OperandDesc desc;
  std::optional<Tensor> constant;
  std::size_t packed_offset = 0;
};

bool is_blocked(Layout layout) {
  return layout == Layout::kBlocked8 || layout == Layout::kBlocked16;
}

/// Shape of the elements in storage order: with it, a pointwise operator needs no layout.
Shape storage_shape(const OperandDesc& desc) {
  if (desc.layout == Layout::kRowMajor || desc.shape.rank() < 2) return desc.shape;
  if (is_blocked(desc.layout))
    return Shape{static_cast<std::int64_t>(bytes_in_layout(desc.dtype, desc.shape, desc.layout) /
                                           size_of(desc.dtype))};
  std::vector<std::int64_t> dims = desc.shape.dims();
  dims.push_back(dims[1]);
  dims.erase(dims.begin() + 1);
  return Shape(std::move(dims));
}

class PlainLoops final : public Kernel {
 public:
  PlainLoops(const KernelCall& call, int threads, bool in_storage_order)
      : node_(call.node), threads_(threads), call_outputs_(call.outputs) {
    for (std::size_t i = 0; i < call.inputs.size(); ++i) {
      inputs_.push_back(make_operand(call.inputs[i], in_storage_order));
      if (const Tensor* constant = call.constant(static_cast<int>(i)))
        inputs_.back().constant = *constant;
    }
    for (const OperandDesc& desc : call.outputs)
      outputs_.push_back(make_operand(desc, in_storage_order));
  }

  std::size_t workspace_bytes() const override { return workspace_bytes_; }
  bool reads_input(int input) const override {
    const Operand& operand = inputs_[static_cast<std::size_t>(input)];
    return !operand.constant && !operand.desc.is_absent;
  }

  void record(const Bindings& bindings, Recorder& recorder) const override {
    auto& cpu_recorder = dynamic_cast<CpuRecorder&>(recorder);
    cpu_recorder.set_team_size(threads_);
    cpu_recorder.add(node_.op, [this, bindings](StepTeam& team) { run(bindings, team); });
  }

 private:
  Operand make_operand(const OperandDesc& desc, bool in_storage_order) {
    Operand operand{desc, std::nullopt, workspace_bytes_};
    if (desc.is_absent) return operand;
    if (in_storage_order) operand.desc.shape = storage_shape(desc);
    if (!desc.is_dense()) {
      const std::size_t bytes =
          static_cast<std::size_t>(desc.shape.num_elements()) * size_of(desc.dtype);
      workspace_bytes_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    }
    return operand;
  }

  static std::byte* packed(const Operand& operand, const Bindings& bindings) {
    return static_cast<std::byte*>(bindings.workspace) + operand.packed_offset;
  }

  void run(const Bindings& bindings, Team& team) const {
    std::vector<TensorView> inputs(inputs_.size());
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      const Operand& operand = inputs_[i];
      const OperandDesc& desc = operand.desc;
      if (desc.is_absent) continue;
      auto* data = static_cast<std::byte*>(bindings.inputs[i]);
      if (operand.constant) data = const_cast<std::byte*>(operand.constant->bytes());
      if (!desc.is_dense()) {
        std::byte* copy = packed(operand, bindings);
        copy_strided(desc.shape.dims(), size_of(desc.dtype), data, desc.strides, copy,
                     desc.shape.row_major_strides(), team);
        data = copy;
      }
      inputs[i] = TensorView(data, desc.dtype, desc.shape);
    }
    std::vector<TensorView> outputs(outputs_.size());
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      const OperandDesc& desc = outputs_[i].desc;
      if (desc.is_absent) continue;
      void* data = desc.is_dense() ? bindings.outputs[i] : packed(outputs_[i], bindings);
      outputs[i] = TensorView(data, desc.dtype, desc.shape);
    }
    evaluate_node(node_, inputs, outputs, team);
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      const OperandDesc& desc = outputs_[i].desc;
      if (desc.is_absent) continue;
      zero_padding(call_outputs_[i], bindings.outputs[i]);
      if (desc.is_dense()) continue;
      copy_strided(desc.shape.dims(), size_of(desc.dtype), packed(outputs_[i], bindings),
                   desc.shape.row_major_strides(), static_cast<std::byte*>(bindings.outputs[i]),
                   desc.strides, team);
    }
  }

  Node node_;
  int threads_;
  std::vector<OperandDesc> call_outputs_;
  std::vector<Operand> inputs_;
  std::vector<Operand> outputs_;
  std::size_t workspace_bytes_ = 0;
};

/// Whether all operands are one shape in one layout, so that any order of elements is right.
Result<void> agrees_in_layout(const KernelCall& call) {
  const OperandDesc& out = call.outputs[0];
  const auto check = [&](const OperandDesc& desc, const char* what, std::size_t i) -> Result<void> {
    if (desc.is_absent) return {};
    if (desc.layout != out.layout)
      return refuse("{} {} is {}, output 0 is {}", what, i, to_string(desc.layout),
                    to_string(out.layout));
    if (desc.shape != out.shape)
      return refuse("{} {} has shape {} which is broadcast to {} in layout {}", what, i,
                    desc.shape.to_string(), out.shape.to_string(), to_string(out.layout));
    if (!desc.is_dense())
      return refuse("{} {} is a slice in layout {}", what, i, to_string(desc.layout));
    if (desc.is_constant)
      return refuse("{} {} is a constant in layout {}", what, i, to_string(desc.layout));
    return {};
  };
  for (std::size_t i = 0; i < call.inputs.size(); ++i)
    if (auto result = check(call.inputs[i], "input", i); !result) return result;
  for (std::size_t i = 0; i < call.outputs.size(); ++i)
    if (auto result = check(call.outputs[i], "output", i); !result) return result;
  return {};
}

bool is_row_major(const KernelCall& call) {
  const auto row_major = [](const OperandDesc& desc) {
    return desc.is_absent || desc.layout == Layout::kRowMajor;
  };
  return std::all_of(call.inputs.begin(), call.inputs.end(), row_major) &&
         std::all_of(call.outputs.begin(), call.outputs.end(), row_major);
}

class PlainKernel final : public KernelImpl {
 public:
  std::string_view name() const override { return kFamily; }
  bool is_fallback() const override { return true; }

  Result<void> supports(const KernelCall& call) const override {
    const OpDef& op = op_of(call.node);
    if (op.evaluate == nullptr) return refuse("{} has no reference evaluation", op.name);
    if (is_row_major(call)) return {};
    if (!op.is_pointwise) return refuse("{} in plain loops needs row-major operands", op.name);
    return agrees_in_layout(call);
  }

  std::vector<std::string> variants(const KernelCall& /*call*/, int width) const override {
    return {VariantKey{std::string(kFamily), width, ""}.to_string()};
  }

  std::unique_ptr<Kernel> prepare(const KernelCall& call, const std::string& key) const override {
    const auto parsed = parse_variant_key(key, kFamily);
    if (!parsed || !parsed->detail.empty())
      fail(ErrorKind::kUnsupported, "'{}' is no variant of plain loops", key);
    return std::make_unique<PlainLoops>(call, parsed->threads, !is_row_major(call));
  }
};

}  // namespace

const KernelImpl& plain_kernel() {
  static const PlainKernel kernel;
  return kernel;
}

}  // namespace gacer::cpu
