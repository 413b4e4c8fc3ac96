#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include <gacer/tensor.h>

namespace gacer {

/// Converts `count` numbers of any type to f32, f16, bf16 or f64, rounding to nearest, ties to even
/// (by way of f32). Many numbers are shared among threads. The ranges must not overlap.
/// Error{kInternal} for another target.
void convert_numbers(DType from_type, const std::byte* from, DType to_type, std::byte* to,
                     std::int64_t count);

/// Calls body(begin, end) for parts of [0, count), on several threads when there are at least twice
/// `grain`; for long loops outside a step. `body` must not throw.
void for_parts(std::int64_t count, std::int64_t grain,
               const std::function<void(std::int64_t begin, std::int64_t end)>& body);

}  // namespace gacer
