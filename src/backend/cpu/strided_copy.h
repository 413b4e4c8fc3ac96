#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/parallel.h"

namespace gacer::cpu {

/// Copies an array of `dims` elements between two placements; strides count elements.
void copy_strided(std::span<const std::int64_t> dims, std::size_t element_bytes,
                  const std::byte* from, std::span<const std::int64_t> from_strides, std::byte* to,
                  std::span<const std::int64_t> to_strides, Team& team);

}  // namespace gacer::cpu
