#include "device/rows.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/dtype.h"

namespace gacer {

Result<ByteRows> rows_of(const OperandDesc& operand) {
  if (operand.shape.num_elements() == 0) return ByteRows{};
  const std::vector<std::int64_t> strides =
      operand.is_dense() ? dense_strides(operand.shape, operand.layout) : operand.strides;
  const std::int64_t block = channel_block(operand.layout);
  // (stride, steps) of the axes that have more than one step, the innermost first.
  std::vector<std::pair<std::int64_t, std::int64_t>> axes;
  if (block > 1) axes.emplace_back(1, block);
  for (int axis = 0; axis < operand.shape.rank(); ++axis) {
    const std::int64_t unit = axis == 1 ? block : 1;
    const std::int64_t steps = (operand.shape[axis] + unit - 1) / unit;
    if (steps > 1) axes.emplace_back(strides[static_cast<std::size_t>(axis)], steps);
  }
  std::sort(axes.begin(), axes.end());
  // Neighbouring axes that are one run become one.
  std::vector<std::pair<std::int64_t, std::int64_t>> runs = {{1, 1}};
  for (const auto& [stride, steps] : axes) {
    if (stride == runs.back().first * runs.back().second)
      runs.back().second *= steps;
    else
      runs.emplace_back(stride, steps);
  }
  if (runs.size() > 2)
    return refuse("the elements of {} do not lie in rows of neighbours", operand.shape.to_string());
  const auto element = static_cast<std::int64_t>(size_of(operand.dtype));
  ByteRows rows;
  rows.bytes = static_cast<std::size_t>(runs[0].second * element);
  rows.pitch = rows.bytes;
  if (runs.size() == 2) {
    rows.count = static_cast<std::size_t>(runs[1].second);
    rows.pitch = static_cast<std::size_t>(runs[1].first * element);
  }
  return rows;
}

}  // namespace gacer
