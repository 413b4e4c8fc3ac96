#include "backend/cpu/loops/storage.h"

#include <cstring>

#include "base/dtype.h"

namespace gacer::cpu {

Storage storage_of(const OperandDesc& operand) {
  Storage storage{operand.shape.dims(), operand.is_dense()
                                            ? dense_strides(operand.shape, operand.layout)
                                            : operand.strides};
  if (const std::int64_t block = channel_block(operand.layout); block > 1) {
    storage.dims[1] = (storage.dims[1] + block - 1) / block;
    storage.dims.push_back(block);
    storage.strides.push_back(1);
  }
  return storage;
}

Result<std::vector<std::int64_t>> broadcast_storage(const OperandDesc& operand,
                                                    const OperandDesc& out) {
  const Shape& shape = operand.shape;
  const std::int64_t block = channel_block(out.layout);
  const bool lies_alike = operand.layout == out.layout && shape.rank() == out.shape.rank();
  const bool is_number = shape.num_elements() == 1;
  if (!lies_alike && !is_number && operand.layout != Layout::kRowMajor)
    return refuse("an operand in layout {} for a result in {}", to_string(operand.layout),
                  to_string(out.layout));
  const std::vector<std::int64_t> own =
      operand.is_dense() ? dense_strides(shape, operand.layout) : operand.strides;
  std::vector<std::int64_t> strides(static_cast<std::size_t>(out.shape.rank()), 0);
  std::int64_t channel_stride = 0;  // between the channels of a block
  const int missing = out.shape.rank() - shape.rank();
  for (int axis = missing; axis < out.shape.rank(); ++axis) {
    const auto from = static_cast<std::size_t>(axis - missing);
    if (shape[axis - missing] == 1) continue;
    if (shape[axis - missing] != out.shape[axis])
      return refuse("an operand {} for a result {}", shape.to_string(), out.shape.to_string());
    const auto to = static_cast<std::size_t>(axis);
    strides[to] = own[from];
    if (axis != 1 || block == 1) continue;
    if (lies_alike) {
      channel_stride = 1;
      continue;
    }
    if (shape[axis - missing] % block != 0)
      return refuse("{} row-major channels beside blocks of {}", shape[axis - missing], block);
    strides[to] = own[from] * block;
    channel_stride = own[from];
  }
  if (block > 1) strides.push_back(channel_stride);
  return strides;
}

void zero_padding(const OperandDesc& operand, void* data) {
  const std::int64_t block = channel_block(operand.layout);
  const std::int64_t tail = operand.shape.rank() > 1 ? operand.shape[1] % block : 0;
  if (block == 1 || tail == 0) return;
  const Storage storage = storage_of(operand);
  const auto element = static_cast<std::int64_t>(size_of(operand.dtype));
  std::vector<std::int64_t> index(storage.dims.size(), 0);
  std::int64_t count = 1;
  for (std::size_t axis = 0; axis + 1 < storage.dims.size(); ++axis)
    if (axis != 1) count *= storage.dims[axis];
  index[1] = storage.dims[1] - 1;
  auto* bytes = static_cast<std::byte*>(data);
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t offset = tail;
    for (std::size_t axis = 0; axis < index.size(); ++axis)
      offset += index[axis] * storage.strides[axis];
    std::memset(bytes + offset * element, 0, static_cast<std::size_t>((block - tail) * element));
    for (std::size_t axis = index.size() - 1; axis-- > 0;) {
      if (axis == 1) continue;
      if (++index[axis] < storage.dims[axis]) break;
      index[axis] = 0;
    }
  }
}

}  // namespace gacer::cpu
