#pragma once

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "device/kernel.h"

namespace gacer {

/// Rows of bytes, each `pitch` after the one before.
struct ByteRows {
  std::size_t count = 1;
  std::size_t bytes = 0;  ///< of a row
  std::size_t pitch = 0;
  std::size_t size() const { return count * bytes; }
};

/// Where the elements of an operand lie, from its first, if they lie in rows of neighbours.
Result<ByteRows> rows_of(const OperandDesc& operand);

/// What a comparison of rows has found, on the device; positions as if the rows lay side by side.
struct RowDifference {
  std::uint64_t bytes = 0;  ///< compared in units of up to 16: whole units count
  std::uint64_t first = ~std::uint64_t{0};
  std::uint64_t last = 0;
};

}  // namespace gacer
