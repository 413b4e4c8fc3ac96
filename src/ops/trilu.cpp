#include <algorithm>
#include <cstring>

#include "ops/data_movement.h"

namespace gacer {
namespace {

std::vector<OutputType> infer(const InferContext& context) {
  require_rank_at_least(context, 0, 2);
  return infer_like_input(context);
}

/// Keeps the upper (or lower) triangle of each matrix, from the k-th diagonal on.
void evaluate(const EvalContext& context) {
  const TensorView& x = context.inputs[0];
  const int rank = x.shape.rank();
  const std::int64_t rows = x.shape[rank - 2];
  const std::int64_t columns = x.shape[rank - 1];
  const bool upper = context.node.attributes.get_int("upper", 1) != 0;
  const std::vector<std::int64_t> given =
      context.has_input(1) ? ints_of(context.inputs[1]) : std::vector<std::int64_t>{0};
  if (given.size() != 1) fail(ErrorKind::kModel, "Trilu: k has {} elements", given.size());
  const std::int64_t k = std::clamp(given[0], -rows, columns);
  const auto size = static_cast<std::int64_t>(size_of(x.dtype));
  std::byte* out = context.outputs[0].data;
  for (std::int64_t row = 0; row < product(x.shape, 0, rank - 1); ++row) {
    const std::int64_t diagonal =
        std::clamp<std::int64_t>(row % rows + k + (upper ? 0 : 1), 0, columns);
    const std::int64_t begin = upper ? diagonal : 0;
    const std::int64_t end = upper ? columns : diagonal;
    const std::int64_t start = row * columns * size;
    std::memset(out + start, 0, static_cast<std::size_t>(begin * size));
    std::memmove(out + start + begin * size, x.data + start + begin * size,
                 static_cast<std::size_t>((end - begin) * size));
    std::memset(out + start + end * size, 0, static_cast<std::size_t>((columns - end) * size));
  }
}

SplitResult split(const SplitContext& context) {
  const int rank = context.shape(0).rank();
  return split_keep_axis(context, std::array{rank - 2, rank - 1});
}

}  // namespace

const OpDef& op_trilu() {
  static const OpDef kDef{.name = "Trilu", .infer = infer, .evaluate = evaluate, .split = split};
  return kDef;
}

}  // namespace gacer
