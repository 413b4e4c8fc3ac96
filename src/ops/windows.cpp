#include "ops/windows.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <numeric>

#include "base/error.h"

namespace gacer {
namespace {

using Ints = std::vector<std::int64_t>;

std::int64_t volume(const Ints& sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), std::int64_t{1}, std::multiplies<>());
}

Ints per_axis(const Node& node, const char* name, int rank, std::int64_t fallback,
              std::int64_t least) {
  Ints values = node.attributes.get_ints(name);
  if (values.empty()) values.assign(static_cast<std::size_t>(rank), fallback);
  if (values.size() != static_cast<std::size_t>(rank))
    fail(ErrorKind::kModel, "attribute '{}' has {} values for {} spatial axes", name, values.size(),
         rank);
  for (const std::int64_t value : values)
    if (value < least) fail(ErrorKind::kModel, "attribute '{}' holds {}", name, value);
  return values;
}

/// Products of two such numbers are numbers.
constexpr std::int64_t kMostOfWindow = (std::int64_t{1} << 31) - 1;

enum class AutoPad { kNotSet, kSameUpper, kSameLower, kValid };

AutoPad auto_pad_of(const Node& node) {
  const std::string text = node.attributes.get_string("auto_pad", "NOTSET");
  if (text == "NOTSET" || text.empty()) return AutoPad::kNotSet;
  if (text == "SAME_UPPER") return AutoPad::kSameUpper;
  if (text == "SAME_LOWER") return AutoPad::kSameLower;
  if (text == "VALID") return AutoPad::kValid;
  fail(ErrorKind::kModel, "auto_pad is '{}'", text);
}

/// Everything but `out` and automatic pads.
Windows read_windows(const Node& node, const Shape& input, Ints kernel) {
  if (input.rank() < 3)
    fail(ErrorKind::kModel, "input {} has no spatial axes after [N, C]", input.to_string());
  const int rank = input.rank() - 2;
  if (kernel.size() != static_cast<std::size_t>(rank))
    fail(ErrorKind::kModel, "a kernel of {} axes on input {}", kernel.size(), input.to_string());
  for (const std::int64_t size : kernel)
    if (size < 1) fail(ErrorKind::kModel, "the kernel has size {}", size);
  Windows windows;
  windows.in.assign(input.begin() + 2, input.end());
  windows.kernel = std::move(kernel);
  windows.strides = per_axis(node, "strides", rank, 1, 1);
  windows.dilations = per_axis(node, "dilations", rank, 1, 1);
  Ints pads = node.attributes.get_ints("pads");
  if (pads.empty()) pads.assign(static_cast<std::size_t>(2 * rank), 0);
  if (pads.size() != static_cast<std::size_t>(2 * rank))
    fail(ErrorKind::kModel, "attribute 'pads' has {} values for {} spatial axes", pads.size(),
         rank);
  if (auto_pad_of(node) != AutoPad::kNotSet) std::fill(pads.begin(), pads.end(), 0);
  for (const Ints* numbers : {&windows.kernel, &windows.strides, &windows.dilations, &pads})
    for (const std::int64_t number : *numbers)
      if (std::abs(number) > kMostOfWindow)
        fail(ErrorKind::kModel, "a window's size, step or pad is {}", number);
  windows.pads_begin.assign(pads.begin(), pads.begin() + rank);
  windows.pads_end.assign(pads.begin() + rank, pads.end());
  return windows;
}

std::int64_t extent(const Windows& windows, std::size_t axis) {
  return (windows.kernel[axis] - 1) * windows.dilations[axis] + 1;
}

void share_padding(Windows& windows, std::size_t axis, std::int64_t total, bool upper) {
  const std::int64_t less = total / 2;
  windows.pads_begin[axis] = upper ? less : total - less;
  windows.pads_end[axis] = upper ? total - less : less;
}

void resolve_output(const Node& node, Windows& windows, bool ceil_mode) {
  const AutoPad auto_pad = auto_pad_of(node);
  for (std::size_t axis = 0; axis < windows.kernel.size(); ++axis) {
    const std::int64_t in = windows.in[axis];
    const std::int64_t stride = windows.strides[axis];
    const std::int64_t reach = extent(windows, axis);
    if (auto_pad == AutoPad::kSameUpper || auto_pad == AutoPad::kSameLower) {
      const std::int64_t out = (in + stride - 1) / stride;
      const std::int64_t total = std::max<std::int64_t>(0, (out - 1) * stride + reach - in);
      share_padding(windows, axis, total, auto_pad == AutoPad::kSameUpper);
      windows.out.push_back(out);
      continue;
    }
    const std::int64_t room = in + windows.pads_begin[axis] + windows.pads_end[axis] - reach;
    if (room < 0)
      fail(ErrorKind::kModel,
           "a window of {} does not fit on spatial axis {} of size {} with pads {} and {}", reach,
           axis, in, windows.pads_begin[axis], windows.pads_end[axis]);
    std::int64_t out = room / stride + 1;
    if (ceil_mode) {
      out = (room + stride - 1) / stride + 1;
      // A window that begins in the padding at the end does not count.
      if ((out - 1) * stride >= in + windows.pads_begin[axis]) --out;
    }
    windows.out.push_back(out);
  }
}

Ints kernel_of(const Node& node, const Shape& weight) {
  if (weight.rank() < 3)
    fail(ErrorKind::kModel, "weight {} has no spatial axes", weight.to_string());
  Ints kernel(weight.begin() + 2, weight.end());
  const Ints stated = node.attributes.get_ints("kernel_shape", kernel);
  if (stated != kernel)
    fail(ErrorKind::kModel, "kernel_shape differs from the weight's shape {}", weight.to_string());
  return kernel;
}

}  // namespace

std::int64_t Windows::kernel_volume() const { return volume(kernel); }
std::int64_t Windows::in_volume() const { return volume(in); }
std::int64_t Windows::out_volume() const { return volume(out); }

Windows conv_windows(const Node& node, const Shape& input, const Shape& weight) {
  Windows windows = read_windows(node, input, kernel_of(node, weight));
  resolve_output(node, windows, /*ceil_mode=*/false);
  return windows;
}

Windows pool_windows(const Node& node, const Shape& input) {
  Windows windows = read_windows(node, input, node.attributes.get_ints("kernel_shape"));
  resolve_output(node, windows, node.attributes.get_int("ceil_mode", 0) != 0);
  return windows;
}

Windows conv_transpose_windows(const Node& node, const Shape& input, const Shape& weight) {
  Windows windows = read_windows(node, input, kernel_of(node, weight));
  const int rank = windows.rank();
  const Ints extra = per_axis(node, "output_padding", rank, 0, 0);
  Ints wanted = node.attributes.get_ints("output_shape");
  if (wanted.size() == static_cast<std::size_t>(rank) + 2)
    wanted.erase(wanted.begin(), wanted.begin() + 2);
  if (!wanted.empty() && wanted.size() != static_cast<std::size_t>(rank))
    fail(ErrorKind::kModel, "output_shape has {} values for {} spatial axes", wanted.size(), rank);
  const AutoPad auto_pad = auto_pad_of(node);
  const bool is_same = auto_pad == AutoPad::kSameUpper || auto_pad == AutoPad::kSameLower;
  windows.out = windows.in;
  for (std::size_t axis = 0; axis < windows.kernel.size(); ++axis) {
    const std::int64_t stride = windows.strides[axis];
    const std::int64_t full =
        stride * (windows.out[axis] - 1) + extra[axis] + extent(windows, axis);
    if (!wanted.empty() || is_same) {
      const std::int64_t size = wanted.empty() ? windows.out[axis] * stride : wanted[axis];
      share_padding(windows, axis, std::max<std::int64_t>(0, full - size),
                    auto_pad == AutoPad::kSameUpper);
      windows.in[axis] = size;
    } else {
      windows.in[axis] = full - windows.pads_begin[axis] - windows.pads_end[axis];
    }
    if (windows.in[axis] < 1)
      fail(ErrorKind::kModel, "the output has size {} on spatial axis {}", windows.in[axis], axis);
  }
  return windows;
}

Windows3 to_windows3(const Windows& windows) {
  if (windows.rank() > 3)
    fail(ErrorKind::kUnsupported, "{} spatial axes, at most 3 are supported", windows.rank());
  Windows3 result;
  const std::size_t shift = 3 - static_cast<std::size_t>(windows.rank());
  const auto fill = [&](const Ints& from, Windows3::Triple& to) {
    std::copy(from.begin(), from.end(), to.begin() + static_cast<std::ptrdiff_t>(shift));
  };
  fill(windows.in, result.in);
  fill(windows.out, result.out);
  fill(windows.kernel, result.kernel);
  fill(windows.strides, result.strides);
  fill(windows.dilations, result.dilations);
  fill(windows.pads_begin, result.pads_begin);
  fill(windows.pads_end, result.pads_end);
  return result;
}

Shape image_shape(std::int64_t n, std::int64_t channels, const Ints& spatial) {
  Ints dims{n, channels};
  dims.insert(dims.end(), spatial.begin(), spatial.end());
  return Shape(std::move(dims));
}

}  // namespace gacer
