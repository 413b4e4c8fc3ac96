#include "base/convert.h"

#include <algorithm>
#include <cstring>

#include "base/dtype.h"
#include "base/error.h"
#include "base/parallel.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace gacer {
namespace {

constexpr std::int64_t kGrain = 1 << 18;

#if defined(__x86_64__)
__attribute__((target("avx,f16c"))) std::int64_t halves_of(const float* from, Half* to,
                                                           std::int64_t count) {
  std::int64_t i = 0;
  for (; i + 8 <= count; i += 8)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
  return i;
}
__attribute__((target("avx,f16c"))) std::int64_t floats_of(const Half* from, float* to,
                                                           std::int64_t count) {
  std::int64_t i = 0;
  for (; i + 8 <= count; i += 8)
    _mm256_storeu_ps(to + i,
                     _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
  return i;
}
bool has_half_instructions() {
  static const bool has = __builtin_cpu_supports("avx") && __builtin_cpu_supports("f16c");
  return has;
}
#endif

/// How many numbers from the first on a machine's own instructions have converted.
template <typename From, typename To>
std::int64_t convert_quickly(const From* from, To* to, std::int64_t count) {
#if defined(__x86_64__)
  if (has_half_instructions()) {
    if constexpr (std::is_same_v<From, float> && std::is_same_v<To, Half>)
      return halves_of(from, to, count);
    if constexpr (std::is_same_v<From, Half> && std::is_same_v<To, float>)
      return floats_of(from, to, count);
  }
#endif
  return 0;
}

template <typename From, typename To>
void convert(const From* from, To* to, std::int64_t count) {
  for_parts(count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    if constexpr (std::is_same_v<From, To>) {
      std::memcpy(to + begin, from + begin, static_cast<std::size_t>(end - begin) * sizeof(To));
    } else {
      std::int64_t i = begin + convert_quickly(from + begin, to + begin, end - begin);
      for (; i < end; ++i) to[i] = static_cast<To>(static_cast<float>(from[i]));
    }
  });
}

}  // namespace

void for_parts(std::int64_t count, std::int64_t grain,
               const std::function<void(std::int64_t, std::int64_t)>& body) {
  constexpr std::int64_t kMostThreads = 16;
  std::int64_t parts = std::min(count / std::max<std::int64_t>(grain, 1), kMostThreads);
  if (parts > 1) parts = std::min<std::int64_t>(parts, count_cores());  // asks the system: slow
  ThreadTeam(std::max(1, static_cast<int>(parts))).parallel_for(count, 1, body);
}

void convert_numbers(DType from_type, const std::byte* from, DType to_type, std::byte* to,
                     std::int64_t count) {
  require(is_float(to_type), "numbers of {} as {}", to_string(from_type), to_string(to_type));
  dispatch_dtype(from_type, [&](auto from_tag) {
    dispatch_dtype(to_type, [&](auto to_tag) {
      using From = decltype(from_tag);
      using To = decltype(to_tag);
      if constexpr (is_float(dtype_of<To>()))
        convert(reinterpret_cast<const From*>(from), reinterpret_cast<To*>(to), count);
    });
  });
}

}  // namespace gacer
