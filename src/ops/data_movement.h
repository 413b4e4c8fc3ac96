#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ops/common.h"
#include "ops/op_def.h"

/// Shared parts of the operators that move elements without computing.
namespace gacer {

/// A copy of a block of `dims` elements between two strided places. Strides count elements; a
/// source stride may be 0 (repeat) or negative. The places must not overlap.
struct StridedCopy {
  const std::byte* from = nullptr;
  std::byte* to = nullptr;
  std::size_t element_bytes = 0;
  std::vector<std::int64_t> dims;
  std::vector<std::int64_t> from_strides;
  std::vector<std::int64_t> to_strides;
};
/// Long runs are memcpy, transposed ones go tile by tile.
void copy_strided(StridedCopy copy, Team& team);

/// A box of `dims` elements: from `from` (first element at `from_offset`, in elements) to `to`.
struct BoxCopy {
  std::int64_t from_offset = 0;
  std::int64_t to_offset = 0;
  std::vector<std::int64_t> dims = {};
  std::vector<std::int64_t> from_strides = {};
  std::vector<std::int64_t> to_strides = {};
};
void copy_box(const TensorView& from, const TensorView& to, BoxCopy box, Team& team);

/// Fills a view with one element, given by its bytes; nullptr: zero.
void fill_elements(const TensorView& to, const std::byte* element, Team& team);

/// A view as [outer, axis, inner].
struct AxisView {
  std::int64_t outer = 1;
  std::int64_t size = 1;
  std::int64_t inner = 1;
};
AxisView view_along(const Shape& shape, int axis);

/// Split rule of operators that only give the elements of input 0 another shape: the output's axis
/// before which as many elements lie as before the input's, and which the batch divides.
SplitResult split_reshape(const SplitContext& context);

/// Attribute or default axis of a node, normalised for `rank`.
int axis_attribute(const Node& node, std::int64_t fallback, int rank);

/// `index` in [-size, size) as one in [0, size); Error{kModel} names it otherwise.
std::int64_t normalize_index(std::int64_t index, std::int64_t size);

}  // namespace gacer
