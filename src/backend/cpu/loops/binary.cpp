#include <algorithm>
#include <array>

#include "backend/cpu/loops/kernels.h"
#include "backend/cpu/loops/loop_kernel.h"
#include "backend/cpu/loops/storage.h"

namespace gacer::cpu {
namespace {

enum class Operation { kNone, kAdd, kSub, kMul, kDiv, kMax, kMin };

Operation operation_of(const std::string& op) {
  if (op == "Add") return Operation::kAdd;
  if (op == "Sub") return Operation::kSub;
  if (op == "Mul") return Operation::kMul;
  if (op == "Div") return Operation::kDiv;
  if (op == "Max") return Operation::kMax;
  if (op == "Min") return Operation::kMin;
  return Operation::kNone;
}

/// An axis of the output with the strides of both operands.
struct Axis {
  std::int64_t size = 1;
  std::int64_t a = 0;
  std::int64_t b = 0;
  std::int64_t out = 0;
};

std::vector<Axis> merge_axes(const Storage& out, const std::vector<std::int64_t>& a,
                             const std::vector<std::int64_t>& b) {
  std::vector<Axis> axes;
  for (std::size_t i = 0; i < out.dims.size(); ++i) {
    if (out.dims[i] == 1) continue;
    const Axis axis{out.dims[i], a[i], b[i], out.strides[i]};
    Axis* last = axes.empty() ? nullptr : &axes.back();
    if (last != nullptr && last->a == axis.size * axis.a && last->b == axis.size * axis.b &&
        last->out == axis.size * axis.out)
      *last = {last->size * axis.size, axis.a, axis.b, axis.out};
    else
      axes.push_back(axis);
  }
  while (axes.size() < 2) axes.insert(axes.begin(), Axis{});
  return axes;
}

template <typename Function>
void run_row(std::int64_t count, const float* a, std::int64_t a_step, const float* b,
             std::int64_t b_step, float* out, std::int64_t out_step, Function function) {
  if (out_step == 1 && a_step == 1 && b_step == 1) {
    for (std::int64_t i = 0; i < count; ++i) out[i] = function(a[i], b[i]);
  } else if (out_step == 1 && a_step == 1 && b_step == 0) {
    const float other = *b;
    for (std::int64_t i = 0; i < count; ++i) out[i] = function(a[i], other);
  } else {
    for (std::int64_t i = 0; i < count; ++i)
      out[i * out_step] = function(a[i * a_step], b[i * b_step]);
  }
}

/// The two inner axes; a run of eight or sixteen channels is unrolled.
template <typename Function>
void run_plane(const Axis& outer, const Axis& inner, const float* a, const float* b, float* out,
               Function function) {
  const auto run_blocks = [&]<std::int64_t kBlock>() {
    for (std::int64_t i = 0; i < outer.size; ++i)
      for (std::int64_t j = 0; j < kBlock; ++j)
        out[i * outer.out + j] = function(a[i * outer.a + j], b[i * outer.b + j]);
  };
  const bool is_dense = inner.a == 1 && inner.b == 1 && inner.out == 1;
  if (is_dense && inner.size == 8) return run_blocks.template operator()<8>();
  if (is_dense && inner.size == 16) return run_blocks.template operator()<16>();
  for (std::int64_t i = 0; i < outer.size; ++i)
    run_row(inner.size, a + i * outer.a, inner.a, b + i * outer.b, inner.b, out + i * outer.out,
            inner.out, function);
}

void dispatch_plane(Operation operation, const Axis& outer, const Axis& inner, const float* a,
                    const float* b, float* out) {
  switch (operation) {
    case Operation::kAdd:
      return run_plane(outer, inner, a, b, out, [](float x, float y) { return x + y; });
    case Operation::kSub:
      return run_plane(outer, inner, a, b, out, [](float x, float y) { return x - y; });
    case Operation::kMul:
      return run_plane(outer, inner, a, b, out, [](float x, float y) { return x * y; });
    case Operation::kDiv:
      return run_plane(outer, inner, a, b, out, [](float x, float y) { return x / y; });
    case Operation::kMax:
      return run_plane(outer, inner, a, b, out,
                       [](float x, float y) { return x > y || x != x ? x : y; });
    case Operation::kMin:
      return run_plane(outer, inner, a, b, out,
                       [](float x, float y) { return x < y || x != x ? x : y; });
    case Operation::kNone:
      break;
  }
}

/// Arithmetic of two f32 operands that broadcast to the output, which may lie in any layout.
class BinaryLoops final : public LoopKernel {
 public:
  std::string_view name() const override { return "broadcast"; }

  Result<void> supports(const KernelCall& call) const override {
    if (operation_of(call.node.op) == Operation::kNone || call.node.num_op_inputs != 2)
      return refuse("not arithmetic of two operands");
    if (!call.node.post.empty()) return refuse("post-ops");
    for (const auto* operand : {&call.inputs[0], &call.inputs[1], &call.outputs[0]})
      if (operand->dtype != DType::kF32) return refuse("type {}", to_string(operand->dtype));
    for (std::size_t i = 0; i < 2; ++i)
      if (auto strides = broadcast_storage(call.inputs[i], call.outputs[0]); !strides)
        return Refusal{strides.reason()};
    return {};
  }

 protected:
  Plan plan(const KernelCall& call, int /*num_threads*/) const override {
    const OperandDesc& out = call.outputs[0];
    const std::vector<Axis> axes =
        merge_axes(storage_of(out), *broadcast_storage(call.inputs[0], out),
                   *broadcast_storage(call.inputs[1], out));
    return {[axes, operation = operation_of(call.node.op), out](const Bindings& bindings,
                                                                StepTeam& team) {
              run(axes, operation, bindings, team);
              zero_padding(out, bindings.outputs[0]);
            },
            0};
  }

 private:
  static void run(const std::vector<Axis>& axes, Operation operation, const Bindings& bindings,
                  StepTeam& team) {
    constexpr std::int64_t kGrain = 16 * 1024;
    const auto* a = static_cast<const float*>(bindings.inputs[0]);
    const auto* b = static_cast<const float*>(bindings.inputs[1]);
    auto* out = static_cast<float*>(bindings.outputs[0]);
    const Axis& inner = axes.back();
    const Axis& rows = axes[axes.size() - 2];
    std::int64_t num_planes = 1;
    for (std::size_t i = 0; i + 2 < axes.size(); ++i) num_planes *= axes[i].size;
    // Rows of all planes are one sequence, divided among the members.
    team.parallel_for(
        num_planes * rows.size, std::max<std::int64_t>(kGrain / inner.size, 1),
        [&](std::int64_t begin, std::int64_t end) {
          while (begin < end) {
            const std::int64_t first = begin % rows.size;
            const std::int64_t count = std::min(end - begin, rows.size - first);
            std::int64_t rest = begin / rows.size;
            std::array<std::int64_t, 3> at = {first * rows.a, first * rows.b, first * rows.out};
            for (std::size_t i = axes.size() - 2; i-- > 0;) {
              const std::int64_t step = rest % axes[i].size;
              rest /= axes[i].size;
              at[0] += step * axes[i].a;
              at[1] += step * axes[i].b;
              at[2] += step * axes[i].out;
            }
            const Axis part{count, rows.a, rows.b, rows.out};
            dispatch_plane(operation, part, inner, a + at[0], b + at[1], out + at[2]);
            begin += count;
          }
        });
  }
};

}  // namespace

const KernelImpl& loops_binary() {
  static const BinaryLoops impl;
  return impl;
}

}  // namespace gacer::cpu
