#include <numeric>

#include "ops/data_movement.h"

namespace gacer {
namespace {

/// perm[i]: the input's axis that becomes the output's axis i. Default: reversed.
std::vector<int> permutation(const Node& node, int rank) {
  const std::vector<std::int64_t> asked = node.attributes.get_ints("perm");
  std::vector<int> perm(static_cast<std::size_t>(rank));
  if (asked.empty()) {
    std::iota(perm.rbegin(), perm.rend(), 0);
    return perm;
  }
  // normalize_axes refuses axes out of range and doubled ones.
  if (normalize_axes(asked, rank).size() != perm.size())
    fail(ErrorKind::kModel, "perm {} for rank {}", Shape(asked).to_string(), rank);
  for (std::size_t i = 0; i < perm.size(); ++i) perm[i] = normalize_axis(asked[i], rank);
  return perm;
}

std::vector<OutputType> infer(const InferContext& context) {
  const Shape& from = context.shape(0);
  std::vector<std::int64_t> dims;
  for (int axis : permutation(context.node(), from.rank())) dims.push_back(from[axis]);
  return {{context.dtype(0), Shape(std::move(dims))}};
}

void evaluate(const EvalContext& context) {
  const TensorView& from = context.inputs[0];
  const TensorView& to = context.outputs[0];
  std::vector<std::int64_t> strides;
  for (int axis : permutation(context.node, from.shape.rank()))
    strides.push_back(from.strides[static_cast<std::size_t>(axis)]);
  copy_box(from, to,
           {.dims = to.shape.dims(), .from_strides = std::move(strides), .to_strides = to.strides},
           context.team);
}

SplitResult split(const SplitContext& context) {
  BatchAxis batch = *context.inputs[0];
  const std::vector<int> perm = permutation(context.node, context.shape(0).rank());
  for (std::size_t i = 0; i < perm.size(); ++i) {
    if (perm[i] != batch.axis) continue;
    batch.axis = static_cast<int>(i);
    break;
  }
  return all_outputs(context, batch);
}

}  // namespace

const OpDef& op_transpose() {
  static const OpDef kDef{
      .name = "Transpose", .infer = infer, .evaluate = evaluate, .split = split};
  return kDef;
}

}  // namespace gacer
