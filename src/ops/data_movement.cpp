#include "ops/data_movement.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>

#include "base/vector_math.h"

namespace gacer {
namespace {

constexpr std::int64_t kGrainBytes = 1 << 16;  // a team member moves at least this much
constexpr std::int64_t kTileRows = 64;  // of a transposition: a few cache lines of each source row
constexpr std::int64_t kTileColumns = 16;

struct Bits128 {
  std::uint64_t words[2];
};

/// Drops axes of size 1, orders the others as they lie in the target, and merges neighbours that
/// lie in one piece on both sides.
void merge_axes(StridedCopy& copy) {
  std::vector<std::int64_t> dims;
  std::vector<std::int64_t> from;
  std::vector<std::int64_t> to;
  std::vector<std::size_t> order(copy.dims.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return copy.to_strides[a] > copy.to_strides[b];
  });
  for (const std::size_t i : order) {
    const std::int64_t dim = copy.dims[i];
    if (dim == 1) continue;
    if (!dims.empty() && from.back() == copy.from_strides[i] * dim &&
        to.back() == copy.to_strides[i] * dim) {
      dims.back() *= dim;
      from.back() = copy.from_strides[i];
      to.back() = copy.to_strides[i];
    } else {
      dims.push_back(dim);
      from.push_back(copy.from_strides[i]);
      to.push_back(copy.to_strides[i]);
    }
  }
  copy.dims = std::move(dims);
  copy.from_strides = std::move(from);
  copy.to_strides = std::move(to);
}

bool has_runs(const StridedCopy& copy) {
  return !copy.dims.empty() && copy.from_strides.back() == 1 && copy.to_strides.back() == 1;
}

bool is_aligned(const std::byte* address, std::size_t bytes) {
  return reinterpret_cast<std::uintptr_t>(address) % std::min(bytes, alignof(std::uint64_t)) == 0;
}

/// Makes short runs of 2, 4, 8 or 16 bytes one element, where every stride and both ends allow it.
void widen_elements(StridedCopy& copy) {
  if (!has_runs(copy) || copy.dims.size() < 2) return;
  const std::int64_t run = copy.dims.back();
  const std::size_t bytes = static_cast<std::size_t>(run) * copy.element_bytes;
  if (bytes != 2 && bytes != 4 && bytes != 8 && bytes != 16) return;
  if (!is_aligned(copy.from, bytes) || !is_aligned(copy.to, bytes)) return;
  for (std::size_t i = 0; i + 1 < copy.dims.size(); ++i)
    if (copy.from_strides[i] % run != 0 || copy.to_strides[i] % run != 0) return;
  copy.dims.pop_back();
  copy.from_strides.pop_back();
  copy.to_strides.pop_back();
  for (std::size_t i = 0; i < copy.dims.size(); ++i) {
    copy.from_strides[i] /= run;
    copy.to_strides[i] /= run;
  }
  copy.element_bytes = bytes;
}

/// Walks the axes listed in `axes` (outermost first); gives element offsets of position `begin` on.
class OuterWalk {
 public:
  OuterWalk(const StridedCopy& copy, const std::vector<std::size_t>& axes)
      : copy_(copy), axes_(axes), index_(axes.size(), 0) {}

  static std::int64_t count(const StridedCopy& copy, const std::vector<std::size_t>& axes) {
    std::int64_t result = 1;
    for (std::size_t axis : axes) result *= copy.dims[axis];
    return result;
  }
  void seek(std::int64_t position) {
    from_ = to_ = 0;
    for (std::size_t i = axes_.size(); i-- > 0;) {
      index_[i] = position % copy_.dims[axes_[i]];
      position /= copy_.dims[axes_[i]];
      from_ += index_[i] * copy_.from_strides[axes_[i]];
      to_ += index_[i] * copy_.to_strides[axes_[i]];
    }
  }
  void next() {
    for (std::size_t i = axes_.size(); i-- > 0;) {
      const std::size_t axis = axes_[i];
      from_ += copy_.from_strides[axis];
      to_ += copy_.to_strides[axis];
      if (++index_[i] < copy_.dims[axis]) return;
      from_ -= copy_.dims[axis] * copy_.from_strides[axis];
      to_ -= copy_.dims[axis] * copy_.to_strides[axis];
      index_[i] = 0;
    }
  }
  std::int64_t from() const { return from_; }
  std::int64_t to() const { return to_; }

 private:
  const StridedCopy& copy_;
  const std::vector<std::size_t>& axes_;
  std::vector<std::int64_t> index_;
  std::int64_t from_ = 0;
  std::int64_t to_ = 0;
};

std::vector<std::size_t> axes_without(std::size_t rank, std::initializer_list<std::size_t> inner) {
  std::vector<std::size_t> axes;
  for (std::size_t i = 0; i < rank; ++i)
    if (std::find(inner.begin(), inner.end(), i) == inner.end()) axes.push_back(i);
  return axes;
}

void copy_runs(const StridedCopy& copy, Team& team) {
  const auto size = static_cast<std::int64_t>(copy.element_bytes);
  const std::int64_t run_bytes = copy.dims.back() * size;
  const std::vector<std::size_t> outer = axes_without(copy.dims.size(), {copy.dims.size() - 1});
  const std::int64_t num_runs = OuterWalk::count(copy, outer);
  // Positions are bytes of the whole copy, so that few long runs spread over the team too.
  team.parallel_for(num_runs * run_bytes, kGrainBytes, [&](std::int64_t begin, std::int64_t end) {
    OuterWalk walk(copy, outer);
    walk.seek(begin / run_bytes);
    std::int64_t offset = begin % run_bytes;
    while (begin < end) {
      const std::int64_t bytes = std::min(run_bytes - offset, end - begin);
      std::memcpy(copy.to + walk.to() * size + offset, copy.from + walk.from() * size + offset,
                  static_cast<std::size_t>(bytes));
      begin += bytes;
      offset = 0;
      walk.next();
    }
  });
}

template <typename T>
void copy_elements(const StridedCopy& copy, Team& team) {
  const std::size_t last = copy.dims.size() - 1;
  const std::vector<std::size_t> outer = axes_without(copy.dims.size(), {last});
  const std::int64_t count = copy.dims[last];
  const std::int64_t from_stride = copy.from_strides[last];
  const std::int64_t to_stride = copy.to_strides[last];
  const auto* from = reinterpret_cast<const T*>(copy.from);
  auto* to = reinterpret_cast<T*>(copy.to);
  const std::int64_t grain = kGrainBytes / (count * static_cast<std::int64_t>(sizeof(T))) + 1;
  team.parallel_for(OuterWalk::count(copy, outer), grain,
                    [&](std::int64_t begin, std::int64_t end) {
                      OuterWalk walk(copy, outer);
                      walk.seek(begin);
                      for (std::int64_t i = begin; i < end; ++i, walk.next()) {
                        const T* source = from + walk.from();
                        T* target = to + walk.to();
                        if (from_stride == 0 && to_stride == 1) {
                          std::fill_n(target, count, *source);
                          continue;
                        }
                        for (std::int64_t k = 0; k < count; ++k)
                          target[k * to_stride] = source[k * from_stride];
                      }
                    });
}

// ---- transposition ---------------------------------------------------------------------------

#if defined(__x86_64__)
using Lanes = std::uint32_t __attribute__((vector_size(32)));

/// to[i * to_stride + j] = from[j * from_stride + i] for 8 x 8 elements.
GACER_TARGET_AVX2 inline void transpose_8x8(const std::uint32_t* from, std::int64_t from_stride,
                                            std::uint32_t* to, std::int64_t to_stride) {
  Lanes r[8];
  Lanes s[8];
  for (int i = 0; i < 8; ++i) std::memcpy(&r[i], from + i * from_stride, sizeof(Lanes));
  for (int i = 0; i < 8; i += 2) {
    s[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    s[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int i = 0; i < 8; i += 4) {
    for (int half = 0; half < 2; ++half) {
      const Lanes a = s[i + half];
      const Lanes b = s[i + half + 2];
      r[i + 2 * half] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
      r[i + 2 * half + 1] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
    }
  }
  for (int i = 0; i < 4; ++i) {
    s[i] = __builtin_shufflevector(r[i], r[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    s[i + 4] = __builtin_shufflevector(r[i], r[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
  for (int i = 0; i < 8; ++i) std::memcpy(to + i * to_stride, &s[i], sizeof(Lanes));
}

/// Whole 8 x 8 blocks of `rows` x `columns`; returns how many columns it covered.
GACER_TARGET_AVX2 std::int64_t transpose_blocks(const std::uint32_t* from, std::int64_t from_stride,
                                                std::uint32_t* to, std::int64_t to_stride,
                                                std::int64_t rows, std::int64_t columns) {
  std::int64_t column = 0;
  for (; column + 8 <= columns; column += 8) {
    for (std::int64_t row = 0; row < rows; row += 8) {
      transpose_8x8(from + column * from_stride + row, from_stride, to + row * to_stride + column,
                    to_stride);
    }
  }
  return column;
}
#endif

/// to[row * to_stride + column] = from[column * from_stride + row].
template <typename T>
void transpose_plain(const T* from, std::int64_t from_stride, T* to, std::int64_t to_stride,
                     std::int64_t rows, std::int64_t columns) {
  for (std::int64_t first = 0; first < columns; first += kTileColumns) {
    const std::int64_t end = std::min(first + kTileColumns, columns);
    for (std::int64_t row = 0; row < rows; ++row)
      for (std::int64_t column = first; column < end; ++column)
        to[row * to_stride + column] = from[column * from_stride + row];
  }
}

/// The same, in vector registers as far as whole blocks go.
template <typename T>
void transpose_rows(const T* from, std::int64_t from_stride, T* to, std::int64_t to_stride,
                    std::int64_t rows, std::int64_t columns) {
#if defined(__x86_64__)
  if constexpr (std::is_same_v<T, std::uint32_t>) {
    const std::int64_t block_rows = rows / 8 * 8;
    if (block_rows > 0 && columns >= 8 && has_avx2()) {
      const std::int64_t done =
          transpose_blocks(from, from_stride, to, to_stride, block_rows, columns);
      transpose_plain(from + done * from_stride, from_stride, to + done, to_stride, block_rows,
                      columns - done);
      from += block_rows;
      to += block_rows * to_stride;
      rows -= block_rows;
    }
  }
#endif
  transpose_plain(from, from_stride, to, to_stride, rows, columns);
}

/// `axis` is the source's innermost axis, the last one the target's.
template <typename T>
void copy_transposed(const StridedCopy& copy, std::size_t axis, Team& team) {
  const std::size_t last = copy.dims.size() - 1;
  const std::vector<std::size_t> outer = axes_without(copy.dims.size(), {axis, last});
  const auto* from = reinterpret_cast<const T*>(copy.from);
  auto* to = reinterpret_cast<T*>(copy.to);
  const std::int64_t rows = copy.dims[axis];
  const std::int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  const std::int64_t tile_bytes =
      kTileRows * copy.dims[last] * static_cast<std::int64_t>(copy.element_bytes);
  team.parallel_for(OuterWalk::count(copy, outer) * tiles, kGrainBytes / tile_bytes + 1,
                    [&](std::int64_t begin, std::int64_t end) {
                      OuterWalk walk(copy, outer);
                      walk.seek(begin / tiles);
                      for (std::int64_t i = begin; i < end; ++i) {
                        if (i != begin && i % tiles == 0) walk.next();
                        const std::int64_t row = i % tiles * kTileRows;
                        transpose_rows(from + walk.from() + row, copy.from_strides[last],
                                       to + walk.to() + row * copy.to_strides[axis],
                                       copy.to_strides[axis], std::min(kTileRows, rows - row),
                                       copy.dims[last]);
                      }
                    });
}

template <typename T>
void copy_typed(const StridedCopy& copy, Team& team) {
  const std::size_t last = copy.dims.size() - 1;
  if (copy.to_strides[last] == 1) {
    for (std::size_t axis = last; axis-- > 0;)
      if (copy.from_strides[axis] == 1) return copy_transposed<T>(copy, axis, team);
  }
  copy_elements<T>(copy, team);
}

}  // namespace

void copy_strided(StridedCopy copy, Team& team) {
  for (std::int64_t dim : copy.dims)
    if (dim == 0) return;
  merge_axes(copy);
  widen_elements(copy);
  if (copy.dims.empty()) {
    std::memcpy(copy.to, copy.from, copy.element_bytes);
    return;
  }
  if (has_runs(copy)) return copy_runs(copy, team);
  switch (copy.element_bytes) {
    case 1:
      return copy_typed<std::uint8_t>(copy, team);
    case 2:
      return copy_typed<std::uint16_t>(copy, team);
    case 4:
      return copy_typed<std::uint32_t>(copy, team);
    case 8:
      return copy_typed<std::uint64_t>(copy, team);
    case 16:
      return copy_typed<Bits128>(copy, team);
    default:
      fail(ErrorKind::kInternal, "no element has {} bytes", copy.element_bytes);
  }
}

void copy_box(const TensorView& from, const TensorView& to, BoxCopy box, Team& team) {
  const auto size = static_cast<std::int64_t>(size_of(from.dtype));
  require(from.dtype == to.dtype, "copy of {} to {}", to_string(from.dtype), to_string(to.dtype));
  copy_strided({.from = from.data + box.from_offset * size,
                .to = to.data + box.to_offset * size,
                .element_bytes = static_cast<std::size_t>(size),
                .dims = std::move(box.dims),
                .from_strides = std::move(box.from_strides),
                .to_strides = std::move(box.to_strides)},
               team);
}

void fill_elements(const TensorView& to, const std::byte* element, Team& team) {
  static constexpr std::byte kZero[8] = {};
  copy_strided({.from = element == nullptr ? kZero : element,
                .to = to.data,
                .element_bytes = size_of(to.dtype),
                .dims = {to.num_elements()},
                .from_strides = {0},
                .to_strides = {1}},
               team);
}

AxisView view_along(const Shape& shape, int axis) {
  return {.outer = product(shape, 0, axis),
          .size = shape[axis],
          .inner = product(shape, axis + 1, shape.rank())};
}

namespace {

/// How well an axis of a Reshape's result fits as the batch's, when several do (a batch of 1).
int fitness(const SplitContext& context, const BatchAxis& in, const BatchAxis& candidate) {
  const Node& node = context.node;
  const auto place = static_cast<std::size_t>(candidate.axis);
  if (node.op == "Reshape" && context.graph.is_constant(node.inputs[1])) {
    const Tensor& target = *context.graph.value(node.inputs[1]).constant;
    const std::int64_t asked = target.data<std::int64_t>()[place];
    if (asked == 0 && candidate.axis == in.axis) return 3;  // the same axis, whatever its size
    if (asked == -1) return 2;                              // what is left, whatever its size
  }
  return candidate.factor == in.factor ? 1 : 0;
}

}  // namespace

SplitResult split_reshape(const SplitContext& context) {
  if (auto only = only_batched(context, {0}); !only) return Refusal{only.reason()};
  const BatchAxis in = *context.inputs[0];
  const Shape& from = context.shape(0);
  const Shape& to = context.output_shape();
  const std::int64_t batch = from[in.axis] / in.factor;
  const std::int64_t before = product(from, 0, in.axis);
  require(batch > 0, "batch axis {} of {}", in.axis, from.to_string());
  std::optional<BatchAxis> found;
  for (int axis = 0; axis < to.rank(); ++axis) {
    if (product(to, 0, axis) != before || to[axis] == 0 || to[axis] % batch != 0) continue;
    const BatchAxis candidate{axis, to[axis] / batch};
    if (!found || fitness(context, in, candidate) > fitness(context, in, *found)) found = candidate;
  }
  if (!found) {
    return refuse("the batch on axis {} of {} (x{}) is not one axis of {}", in.axis,
                  from.to_string(), in.factor, to.to_string());
  }
  return all_outputs(context, *found);
}

int axis_attribute(const Node& node, std::int64_t fallback, int rank) {
  return normalize_axis(node.attributes.get_int("axis", fallback), rank);
}

std::int64_t normalize_index(std::int64_t index, std::int64_t size) {
  if (index < -size || index >= size)
    fail(ErrorKind::kModel, "index {} is out of range for an axis of {}", index, size);
  return index < 0 ? index + size : index;
}

}  // namespace gacer
