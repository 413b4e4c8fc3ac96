#include "ops/data_movement.h"

// DepthToSpace and SpaceToDepth: blocks of pixels to channels and back.
namespace gacer {
namespace {

std::int64_t block_size(const Node& node) {
  const std::int64_t block = node.attributes.get_int("blocksize", 0);
  if (block < 1) fail(ErrorKind::kModel, "blocksize is {}", block);
  return block;
}

bool is_crd(const Node& node) {
  const std::string mode = node.attributes.get_string("mode", "DCR");
  if (mode != "DCR" && mode != "CRD")
    fail(ErrorKind::kModel, "mode '{}', expected DCR or CRD", mode);
  return mode == "CRD";
}

std::vector<OutputType> infer_to_space(const InferContext& context) {
  require_rank(context, 0, 4);
  const Shape& x = context.shape(0);
  const std::int64_t b = block_size(context.node());
  is_crd(context.node());
  if (b > x[1] || x[1] % (b * b) != 0)
    fail(ErrorKind::kModel, "{} channels for blocks of {} x {}", x[1], b, b);
  return {{context.dtype(0), Shape{x[0], x[1] / (b * b), x[2] * b, x[3] * b}}};
}

void evaluate_to_space(const EvalContext& context) {
  const TensorView& from = context.inputs[0];
  const TensorView& to = context.outputs[0];
  const std::int64_t b = block_size(context.node);
  const std::int64_t channels = to.shape[1];
  const std::int64_t height = from.shape[2];
  const std::int64_t width = from.shape[3];
  const std::int64_t plane = height * width;
  const bool crd = is_crd(context.node);
  // Output order: n, channel, row, block row, column, block column.
  const std::int64_t channel = crd ? b * b * plane : plane;
  const std::int64_t block = crd ? plane : channels * plane;
  copy_box(from, to,
           {.dims = {from.shape[0], channels, height, b, width, b},
            .from_strides = {from.strides[0], channel, width, b * block, 1, block},
            .to_strides = {to.strides[0], to.strides[1], b * to.strides[2], to.strides[2], b, 1}},
           context.team);
}

std::vector<OutputType> infer_to_depth(const InferContext& context) {
  require_rank(context, 0, 4);
  const Shape& x = context.shape(0);
  const std::int64_t b = block_size(context.node());
  if (x[2] % b != 0 || x[3] % b != 0)
    fail(ErrorKind::kModel, "{} for blocks of {} x {}", x.to_string(), b, b);
  return {{context.dtype(0), Shape{x[0], x[1] * b * b, x[2] / b, x[3] / b}}};
}

void evaluate_to_depth(const EvalContext& context) {
  const TensorView& from = context.inputs[0];
  const TensorView& to = context.outputs[0];
  const std::int64_t b = block_size(context.node);
  const std::int64_t height = to.shape[2];
  const std::int64_t width = to.shape[3];
  // Output order: n, block row, block column, channel, row, column.
  copy_box(
      from, to,
      {.dims = {from.shape[0], b, b, from.shape[1], height, width},
       .from_strides = {from.strides[0], from.strides[2], 1, from.strides[1], b * from.strides[2],
                        b},
       .to_strides = Shape{from.shape[0], b, b, from.shape[1], height, width}.row_major_strides()},
      context.team);
}

}  // namespace

const OpDef& op_depth_to_space() {
  static const OpDef kDef{.name = "DepthToSpace",
                          .infer = infer_to_space,
                          .evaluate = evaluate_to_space,
                          .split = split_leading};
  return kDef;
}

const OpDef& op_space_to_depth() {
  static const OpDef kDef{.name = "SpaceToDepth",
                          .infer = infer_to_depth,
                          .evaluate = evaluate_to_depth,
                          .split = split_leading};
  return kDef;
}

}  // namespace gacer
