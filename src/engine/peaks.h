#pragma once

#include <cstddef>
#include <cstdint>

#include "base/precision.h"
#include "device/device.h"

namespace gacer {

/// What a device reaches at most, in one precision; 0 where that is not known.
struct Peaks {
  double flops = 0;      ///< a second, a multiply-add counts two
  double bandwidth = 0;  ///< bytes a second, read and written
};

struct PeakLimits {
  std::int64_t matrix = 8192;        ///< rows of the largest square matrix
  std::size_t bytes = 256ULL << 20;  ///< of what is read, and as many are written
};

/// Measures them by the device's own kernels: products of square matrices, larger ones until one
/// takes a millisecond, and one pass over more bytes than caches hold. What has no kernel that
/// works, or no memory, stays unknown. Error{kDevice} when the device is lost.
Peaks measure_peaks(Device& device, Precision precision, const PeakLimits& limits = {});

}  // namespace gacer
