#include "backend/cpu/loops/kernels.h"
#include "backend/cpu/loops/loop_kernel.h"
#include "backend/cpu/loops/storage.h"
#include "backend/cpu/strided_copy.h"
#include "base/dtype.h"
#include "ops/common.h"

namespace gacer::cpu {
namespace {

/// Concat: each part is copied to its window of the output, whatever the layout.
class ConcatLoops final : public LoopKernel {
 public:
  std::string_view name() const override { return "concat"; }

  Result<void> supports(const KernelCall& call) const override {
    if (call.node.op != "Concat") return refuse("not a Concat");
    if (!call.node.post.empty()) return refuse("post-ops");
    const OperandDesc& out = call.outputs[0];
    const std::int64_t block = channel_block(out.layout);
    const int axis = axis_of(call);
    for (std::size_t i = 0; i < call.inputs.size(); ++i) {
      const OperandDesc& in = call.inputs[i];
      if (in.layout != out.layout)
        return refuse("part {} is {}, the result {}", i, to_string(in.layout),
                      to_string(out.layout));
      if (axis == 1 && in.shape[1] % block != 0 && i + 1 < call.inputs.size())
        return refuse("part {} ends inside a block of {} channels", i, block);
    }
    return {};
  }

 protected:
  Plan plan(const KernelCall& call, int /*num_threads*/) const override {
    struct Part {
      Storage from;
      std::size_t offset;  // bytes into the output
    };
    const OperandDesc& out = call.outputs[0];
    const Storage to = storage_of(out);
    const auto axis = static_cast<std::size_t>(axis_of(call));
    std::vector<Part> parts;
    std::int64_t position = 0;
    for (const OperandDesc& in : call.inputs) {
      Storage from = storage_of(in);
      const std::int64_t size = from.dims[axis];
      parts.push_back({std::move(from),
                       static_cast<std::size_t>(position * to.strides[axis]) * size_of(out.dtype)});
      position += size;
    }
    return {[parts, to, element = size_of(out.dtype)](const Bindings& bindings, StepTeam& team) {
              auto* output = static_cast<std::byte*>(bindings.outputs[0]);
              for (std::size_t i = 0; i < parts.size(); ++i)
                copy_strided(parts[i].from.dims, element,
                             static_cast<const std::byte*>(bindings.inputs[i]),
                             parts[i].from.strides, output + parts[i].offset, to.strides, team);
            },
            0};
  }

 private:
  static int axis_of(const KernelCall& call) {
    return normalize_axis(call.node.attributes.get_int("axis", 0), call.outputs[0].shape.rank());
  }
};

}  // namespace

const KernelImpl& loops_concat() {
  static const ConcatLoops impl;
  return impl;
}

}  // namespace gacer::cpu
