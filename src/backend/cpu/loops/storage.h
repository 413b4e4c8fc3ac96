#pragma once

#include <vector>

#include "base/result.h"
#include "device/kernel.h"

namespace gacer::cpu {

/// An operand's elements as they lie: one axis more than the logical ones in a blocked layout (the
/// channels of a block, innermost), else the logical axes with their strides.
struct Storage {
  std::vector<std::int64_t> dims;
  std::vector<std::int64_t> strides;
};
Storage storage_of(const OperandDesc& operand);

/// Strides with which `operand` is read along the axes of `out`: 0 where it is broadcast. Operands
/// lie as the output or, being row-major, have only channels that fill whole blocks. The reason
/// when that is not so.
Result<std::vector<std::int64_t>> broadcast_storage(const OperandDesc& operand,
                                                    const OperandDesc& out);

/// Zeroes the channels that only fill the last block up: blocked layouts promise it, and an
/// operator may have made something else of them. No effect on other layouts.
void zero_padding(const OperandDesc& operand, void* data);

}  // namespace gacer::cpu
