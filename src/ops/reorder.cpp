#include "ops/common.h"

// Reorder: the same values in another Value::layout. Views of the reference evaluation are
// row-major, so that it only copies.
namespace gacer {
namespace {

SplitResult split(const SplitContext& context) { return split_keep_axis(context, {}); }

}  // namespace

const OpDef& op_reorder() {
  static const OpDef def{.name = "Reorder",
                         .domain = "gacer",
                         .infer = infer_like_input,
                         .evaluate = evaluate_copy,
                         .split = split};
  return def;
}

}  // namespace gacer
