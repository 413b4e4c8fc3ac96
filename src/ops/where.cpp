#include <cstring>

#include "ops/elementwise.h"

namespace gacer {
namespace {

std::vector<OutputType> infer(const InferContext& context) {
  check_type(context, 0, TypeSet::kBool);
  check_same_types(context, 1, 2);
  return {{context.dtype(1), broadcast_inputs(context)}};
}

/// By masks: branches on data are mispredicted, and would keep the loop from becoming vector code.
template <bool kMoveX, bool kMoveY, typename Bits>
GACER_ALWAYS_INLINE void choose_body(const bool* condition, const Bits* x, const Bits* y, Bits* out,
                                     std::int64_t count) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < count; ++i) {
    const auto mask = static_cast<Bits>(Bits{0} - static_cast<Bits>(condition[i]));
    const Bits yes = x[kMoveX ? i : 0];
    const Bits no = y[kMoveY ? i : 0];
    out[i] = static_cast<Bits>((yes & mask) | (no & static_cast<Bits>(~mask)));
  }
}

template <bool kMoveX, bool kMoveY, typename Bits>
GACER_TARGET_AVX2 void choose_avx2(const bool* condition, const Bits* x, const Bits* y, Bits* out,
                                   std::int64_t count) {
  choose_body<kMoveX, kMoveY>(condition, x, y, out, count);
}

template <bool kMoveX, bool kMoveY, typename Bits>
void choose(const bool* condition, const Bits* x, const Bits* y, Bits* out, std::int64_t count) {
  if (has_avx2()) return choose_avx2<kMoveX, kMoveY>(condition, x, y, out, count);
  choose_body<kMoveX, kMoveY>(condition, x, y, out, count);
}

/// A row of elements known by their size only.
template <typename Bits>
void choose_row(const Row& row) {
  const auto* condition = reinterpret_cast<const bool*>(row.in[0]);
  const auto* x = reinterpret_cast<const Bits*>(row.in[1]);
  const auto* y = reinterpret_cast<const Bits*>(row.in[2]);
  auto* out = reinterpret_cast<Bits*>(row.out);
  if (!row.moves[0]) {
    const Bits* chosen = *condition ? x : y;
    const bool moves = row.moves[*condition ? 1 : 2];
    for (std::int64_t i = 0; i < row.count; ++i) out[i] = chosen[moves ? i : 0];
  } else if (row.moves[1] && row.moves[2]) {
    choose<true, true>(condition, x, y, out, row.count);
  } else if (row.moves[1]) {
    choose<true, false>(condition, x, y, out, row.count);
  } else if (row.moves[2]) {
    choose<false, true>(condition, x, y, out, row.count);
  } else {
    choose<false, false>(condition, x, y, out, row.count);
  }
}

void evaluate(const EvalContext& context) {
  const auto run = [&](const std::function<void(const Row&)>& body) {
    for_each_row(context.inputs.first(3), context.outputs[0], context.team, body);
  };
  switch (size_of(context.outputs[0].dtype)) {
    case 1:
      return run(choose_row<std::uint8_t>);
    case 2:
      return run(choose_row<std::uint16_t>);
    case 4:
      return run(choose_row<std::uint32_t>);
    default:
      return run(choose_row<std::uint64_t>);
  }
}

}  // namespace

const OpDef& op_where() {
  static const OpDef kDef{.name = "Where",
                          .infer = infer,
                          .evaluate = evaluate,
                          .cost = pointwise_cost,
                          .split = split_pointwise,
                          .is_pointwise = true};
  return kDef;
}

}  // namespace gacer
