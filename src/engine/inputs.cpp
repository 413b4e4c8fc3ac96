#include "engine/inputs.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <set>
#include <string_view>

#include "base/convert.h"
#include "base/dtype.h"
#include "base/error.h"
#include "base/hasher.h"

namespace gacer {
namespace {

/// SplitMix64: the same numbers with every standard library.
class Random {
 public:
  /// Begins after `skipped` numbers.
  explicit Random(std::uint64_t seed, std::int64_t skipped = 0)
      : state_(seed + static_cast<std::uint64_t>(skipped) * kStep) {}
  std::uint64_t next() {
    state_ += kStep;
    return mix_bits(state_);
  }
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  std::int64_t integer(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(high - low + 1));
  }

 private:
  static constexpr std::uint64_t kStep = 0x9e3779b97f4a7c15ULL;
  std::uint64_t state_;
};

/// Numbers that one element takes.
template <typename T>
constexpr std::int64_t kDraws = std::is_integral_v<T> ? 1 : 2;

template <typename T>
T draw(Random& random, const InputRange& range) {
  if constexpr (std::is_same_v<T, bool>) {
    return random.integer(range.low, range.high) != 0;
  } else if constexpr (std::is_integral_v<T>) {
    constexpr auto kLargest = static_cast<std::int64_t>(std::min<std::uint64_t>(
        std::numeric_limits<T>::max(), std::numeric_limits<std::int64_t>::max()));
    return static_cast<T>(random.integer(range.low, std::min(range.high, kLargest)));
  } else {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - random.uniform()));
    const double angle = 2.0 * std::numbers::pi * random.uniform();
    return T(static_cast<float>(radius * std::cos(angle)));
  }
}

/// From 1 to the next larger number.
double unit_of(Precision precision) {
  switch (precision) {
    case Precision::kF32:
      return 0x1p-23;
    case Precision::kTF32:
    case Precision::kF16:
      return 0x1p-10;
    case Precision::kBF16:
      return 0x1p-7;
  }
  fail(ErrorKind::kInternal, "bad precision {}", static_cast<int>(precision));
}

/// Operators whose output holds the numbers of an input, moved or cast.
bool keeps_numbers(const Node& node) {
  static constexpr std::array<std::string_view, 13> kOps{
      "Cast",  "Reshape", "Unsqueeze", "Squeeze", "Transpose", "Identity", "Flatten",
      "Slice", "Split",   "Concat",    "Reorder", "Expand",    "Tile"};
  return node.post.empty() && std::find(kOps.begin(), kOps.end(), node.op) != kOps.end();
}

}  // namespace

InputRange find_input_range(const Graph& graph, ValueId input) {
  const auto consumers = graph.consumers();
  std::int64_t smallest_table = std::numeric_limits<std::int64_t>::max();
  std::set<ValueId> seen{input};
  std::vector<ValueId> pending{input};
  const auto visit = [&](ValueId id) {
    if (id != kNone && seen.insert(id).second) pending.push_back(id);
  };
  while (!pending.empty()) {
    const ValueId value = pending.back();
    pending.pop_back();
    for (ValueId part = 0; part < graph.num_values(); ++part) {
      if (graph.root_of(part) == value) visit(part);
    }
    visit(graph.root_of(value));
    for (const NodeId reader : consumers[static_cast<std::size_t>(value)]) {
      const Node& node = graph.node(reader);
      if (node.op.starts_with("Gather") && node.inputs.size() > 1 && node.inputs[1] == value) {
        const Shape& table = graph.value(node.inputs[0]).shape;
        std::int64_t axis = node.attributes.get_int("axis", 0);
        if (axis < 0) axis += table.rank();
        if (axis >= 0 && axis < table.rank())
          smallest_table = std::min(smallest_table, table[static_cast<int>(axis)]);
      } else if (keeps_numbers(node)) {
        for (const ValueId output : node.outputs) visit(output);
      }
    }
  }
  if (smallest_table == std::numeric_limits<std::int64_t>::max()) return {1, 1};
  return {0, std::max<std::int64_t>(smallest_table - 1, 0)};
}

Tensor make_random_tensor(DType dtype, const Shape& shape, const InputRange& range,
                          std::uint64_t seed) {
  constexpr std::int64_t kGrain = 1 << 15;
  Tensor tensor(dtype, shape);
  dispatch_dtype(dtype, [&](auto tag) {
    using T = decltype(tag);
    const auto elements = tensor.mutable_data<T>();
    // The same numbers whatever the number of threads.
    for_parts(tensor.num_elements(), kGrain, [&](std::int64_t begin, std::int64_t end) {
      Random random(seed, begin * kDraws<T>);
      for (std::int64_t i = begin; i < end; ++i)
        elements[static_cast<std::size_t>(i)] = draw<T>(random, range);
    });
  });
  return tensor;
}

Tensor nudge(const Tensor& tensor, Precision precision, std::uint64_t seed) {
  if (!is_float(tensor.dtype())) return tensor;
  Tensor nudged(tensor.dtype(), tensor.shape());
  const double unit = unit_of(precision);
  dispatch_dtype(tensor.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_integral_v<T>) {
      const auto from = tensor.data<T>();
      const auto to = nudged.mutable_data<T>();
      Random random(seed);
      for (std::size_t i = 0; i < from.size(); ++i) {
        const double sign = random.integer(0, 1) != 0 ? 1 : -1;
        to[i] = T(static_cast<float>(static_cast<double>(static_cast<float>(from[i])) *
                                     (1 + sign * unit)));
      }
    }
  });
  return nudged;
}

Tensor make_random_input(const Graph& graph, ValueId input, std::uint64_t seed) {
  const Value& value = graph.value(input);
  const InputRange range = is_float(value.dtype) ? InputRange{} : find_input_range(graph, input);
  const auto place = std::find(graph.inputs.begin(), graph.inputs.end(), input);
  require(place != graph.inputs.end(), "'{}' is no graph input", value.name);
  const auto index = static_cast<std::uint64_t>(place - graph.inputs.begin());
  return make_random_tensor(value.dtype, value.shape, range, seed * 1000003 + index);
}

}  // namespace gacer
