#include "backend/cpu/strided_copy.h"

#include <cstring>
#include <vector>

#include "base/error.h"

namespace gacer::cpu {
namespace {

struct Axis {
  std::int64_t size;
  std::int64_t from;
  std::int64_t to;
};

/// Axes that matter, outermost first; neighbours that are one run in both placements are merged.
std::vector<Axis> merge_axes(std::span<const std::int64_t> dims,
                             std::span<const std::int64_t> from_strides,
                             std::span<const std::int64_t> to_strides) {
  std::vector<Axis> axes;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] == 1) continue;
    const Axis axis{dims[i], from_strides[i], to_strides[i]};
    if (!axes.empty() && axes.back().from == axis.size * axis.from &&
        axes.back().to == axis.size * axis.to)
      axes.back() = {axes.back().size * axis.size, axis.from, axis.to};
    else
      axes.push_back(axis);
  }
  if (axes.empty()) axes.push_back({1, 1, 1});
  return axes;
}

template <typename T>
void copy_run(std::int64_t count, const std::byte* from, std::int64_t from_stride, std::byte* to,
              std::int64_t to_stride) {
  if (from_stride == 1 && to_stride == 1) {
    std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(T));
    return;
  }
  const T* source = reinterpret_cast<const T*>(from);
  T* target = reinterpret_cast<T*>(to);
  for (std::int64_t i = 0; i < count; ++i) target[i * to_stride] = source[i * from_stride];
}

template <typename T>
void copy_typed(const std::vector<Axis>& axes, const std::byte* from, std::byte* to, Team& team) {
  constexpr std::int64_t kGrainBytes = 64 * 1024;
  const Axis run = axes.back();
  std::int64_t num_runs = 1;
  for (std::size_t i = 0; i + 1 < axes.size(); ++i) num_runs *= axes[i].size;
  if (num_runs == 0 || run.size == 0) return;
  const auto copy_range = [&](std::int64_t begin, std::int64_t end, std::int64_t run_begin,
                              std::int64_t run_end) {
    for (std::int64_t index = begin; index < end; ++index) {
      std::int64_t rest = index;
      std::int64_t from_offset = run_begin * run.from;
      std::int64_t to_offset = run_begin * run.to;
      for (std::size_t i = axes.size() - 1; i-- > 0;) {
        const std::int64_t step = rest % axes[i].size;
        rest /= axes[i].size;
        from_offset += step * axes[i].from;
        to_offset += step * axes[i].to;
      }
      copy_run<T>(run_end - run_begin, from + from_offset * static_cast<std::int64_t>(sizeof(T)),
                  run.from, to + to_offset * static_cast<std::int64_t>(sizeof(T)), run.to);
    }
  };
  const std::int64_t grain = kGrainBytes / static_cast<std::int64_t>(sizeof(T));
  if (num_runs == 1)
    team.parallel_for(run.size, grain,
                      [&](std::int64_t begin, std::int64_t end) { copy_range(0, 1, begin, end); });
  else
    team.parallel_for(num_runs, grain / run.size, [&](std::int64_t begin, std::int64_t end) {
      copy_range(begin, end, 0, run.size);
    });
}

}  // namespace

void copy_strided(std::span<const std::int64_t> dims, std::size_t element_bytes,
                  const std::byte* from, std::span<const std::int64_t> from_strides, std::byte* to,
                  std::span<const std::int64_t> to_strides, Team& team) {
  const std::vector<Axis> axes = merge_axes(dims, from_strides, to_strides);
  switch (element_bytes) {
    case 1:
      return copy_typed<std::uint8_t>(axes, from, to, team);
    case 2:
      return copy_typed<std::uint16_t>(axes, from, to, team);
    case 4:
      return copy_typed<std::uint32_t>(axes, from, to, team);
    case 8:
      return copy_typed<std::uint64_t>(axes, from, to, team);
    default:
      fail(ErrorKind::kInternal, "elements of {} bytes", element_bytes);
  }
}

}  // namespace gacer::cpu
