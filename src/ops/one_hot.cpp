#include <cstring>

#include "ops/cast.h"
#include "ops/data_movement.h"

namespace gacer {
namespace {

std::vector<std::int64_t> as_ints(const TensorView& view, Team& team) {
  std::vector<std::int64_t> result(static_cast<std::size_t>(view.num_elements()));
  cast_elements(view, TensorView(result.data(), DType::kI64, view.shape), team);
  return result;
}

std::vector<OutputType> infer(const InferContext& context) {
  const Tensor* depth = context.constant(1);
  if (depth == nullptr) {
    fail(ErrorKind::kUnsupported,
         "depth ('{}') must be a constant: shapes are known before anything runs",
         context.input(1).name);
  }
  if (depth->num_elements() != 1 || context.shape(2) != Shape{2}) {
    fail(ErrorKind::kModel, "OneHot: depth has shape {}, values {}; expected a scalar and [2]",
         depth->shape().to_string(), context.shape(2).to_string());
  }
  SerialTeam team;
  const std::int64_t size = as_ints(TensorView::of(*depth), team)[0];
  if (size < 1) fail(ErrorKind::kModel, "OneHot: depth {}", size);
  std::vector<std::int64_t> dims = context.shape(0).dims();
  dims.insert(dims.begin() + axis_attribute(context.node(), -1, context.shape(0).rank() + 1), size);
  return {{context.dtype(2), Shape(std::move(dims))}};
}

/// Values are [off, on]; an index outside [-depth, depth) sets nothing.
void evaluate(const EvalContext& context) {
  const TensorView& out = context.outputs[0];
  const AxisView view = view_along(out.shape, axis_attribute(context.node, -1, out.shape.rank()));
  const std::size_t size = size_of(out.dtype);
  const std::byte* values = context.inputs[2].data;
  fill_elements(out, values, context.team);
  const std::vector<std::int64_t> indices = as_ints(context.inputs[0], context.team);
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const std::int64_t index = indices[i] < 0 ? indices[i] + view.size : indices[i];
    if (index < 0 || index >= view.size) continue;
    const auto position = static_cast<std::int64_t>(i);
    const std::int64_t target =
        (position / view.inner * view.size + index) * view.inner + position % view.inner;
    std::memcpy(out.data + static_cast<std::size_t>(target) * size, values + size, size);
  }
}

SplitResult split(const SplitContext& context) {
  if (auto only = only_batched(context, {0}); !only) return Refusal{only.reason()};
  BatchAxis batch = *context.inputs[0];
  if (batch.axis >= axis_attribute(context.node, -1, context.output_shape().rank())) ++batch.axis;
  return all_outputs(context, batch);
}

}  // namespace

const OpDef& op_one_hot() {
  static const OpDef kDef{.name = "OneHot", .infer = infer, .evaluate = evaluate, .split = split};
  return kDef;
}

}  // namespace gacer
