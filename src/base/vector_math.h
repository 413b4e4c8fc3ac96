#pragma once

#include <bit>
#include <cstdint>
#include <limits>

/// Branch-free float functions that the compiler vectorises when they are called in a plain loop.
/// Polynomials are minimax fits; each function is within 1e-6 of the true value, relative (erf and
/// tanh too, also near zero). NaN gives NaN. Results below 1e-37 may be flushed to zero.

#define GACER_ALWAYS_INLINE inline __attribute__((always_inline))

// A second copy of a hot loop for AVX2 + FMA, chosen when the program runs: write the loop as a
// template, once with this attribute and once without, and ask has_avx2().
#if defined(__x86_64__)
#define GACER_TARGET_AVX2 __attribute__((target("avx2,fma")))
#else
#define GACER_TARGET_AVX2
#endif

namespace gacer {

inline bool has_avx2() {
#if defined(__x86_64__)
  static const bool kHas = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return kHas;
#else
  return false;
#endif
}

namespace vector_math {

GACER_ALWAYS_INLINE float select(bool condition, float yes, float no) {
  return condition ? yes : no;
}

/// |x| with the sign of `sign`. Precondition: magnitude >= 0 or NaN.
GACER_ALWAYS_INLINE float copy_sign(float magnitude, float sign) {
  const std::uint32_t bit = std::bit_cast<std::uint32_t>(sign) & 0x80000000u;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(magnitude) | bit);
}

GACER_ALWAYS_INLINE float absolute(float x) {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) & 0x7fffffffu);
}

/// e^x: x = n ln 2 + r, |r| <= ln 2 / 2; e^r = 1 + r + r^2 q(r).
GACER_ALWAYS_INLINE float exp(float x) {
  constexpr float kLowest = -86.9f;  // smaller results would be subnormal
  constexpr float kHighest = 88.722839f;
  constexpr float kLog2E = 1.44269504f;
  constexpr float kLn2High = 0.693359375f;  // few bits: n * kLn2High is exact
  constexpr float kLn2Low = -2.12194440e-4f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  float clamped = select(x > kHighest, kHighest, x);
  clamped = select(clamped < kLowest, kLowest, clamped);
  const float shifted = clamped * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = (clamped - n * kLn2High) - n * kLn2Low;
  float q = 0.00139410978f;
  q = q * r + 0.00836317526f;
  q = q * r + 0.0416663754f;
  q = q * r + 0.16666577f;
  q = q * r + 0.500000003f;
  const float power = (q * r) * r + r + 1.0f;
  // 2^n as 2 * 2^(n-1): n reaches 128, which has no float exponent.
  const std::int32_t exponent = std::bit_cast<std::int32_t>(shifted) - 0x4B400000 + 126;
  const float scale = std::bit_cast<float>(exponent << 23);
  const float y = (power * 2.0f) * scale;
  const float limited = select(x > kHighest, std::numeric_limits<float>::infinity(), y);
  return select(x < kLowest, 0.0f, limited);
}

GACER_ALWAYS_INLINE float sigmoid(float x) {
  // By e^-|x|, so that nothing overflows.
  const float e = exp(-absolute(x));
  const float y = 1.0f / (1.0f + e);
  return select(x < 0.0f, e * y, y);
}

/// x + x^3 q(x^2) near zero, 1 - 2 / (e^2|x| + 1) elsewhere.
GACER_ALWAYS_INLINE float tanh(float x) {
  const float z = x * x;
  float q = -0.00609691814f;
  q = q * z + 0.0209973386f;
  q = q * z - 0.0538509486f;
  q = q * z + 0.1333277f;
  q = q * z - 0.333333289f;
  const float near = (q * z) * x + x;
  const float magnitude = absolute(x);
  const float far = 1.0f - 2.0f / (exp(2.0f * magnitude) + 1.0f);
  return select(magnitude < 0.625f, near, copy_sign(far, x));
}

/// x p(x^2) below 1, 1 - e^l(x) with l(x) = log(erfc(x)) above.
GACER_ALWAYS_INLINE float erf(float x) {
  const float z = x * x;
  float p = 7.85384729e-05f;
  p = p * z - 0.000801018937f;
  p = p * z + 0.0051883272f;
  p = p * z - 0.0268538117f;
  p = p * z + 0.112835851f;
  p = p * z - 0.376126258f;
  p = p * z + 1.12837917f;
  const float magnitude = absolute(x);
  const float m = select(magnitude > 4.0f, 4.0f, magnitude);  // erf(4) rounds to 1
  float l = 0.00018557748f;
  l = l * m - 0.00293964043f;
  l = l * m + 0.0218054473f;
  l = l * m - 0.103037631f;
  l = l * m - 0.638225383f;
  l = l * m - 1.12704021f;
  l = l * m - 0.000353678003f;
  const float far = 1.0f - exp(l);
  return select(magnitude < 1.0f, p * x, copy_sign(far, x));
}

/// log(1 + x) for x in [0, 1]: 2 atanh(s) with s = x / (2 + x), as s p(s^2).
GACER_ALWAYS_INLINE float log1p_unit(float x) {
  const float s = x / (2.0f + x);
  const float z = s * s;
  float p = 0.281782994f;
  p = p * z + 0.279606106f;
  p = p * z + 0.400249097f;
  p = p * z + 0.666663147f;
  p = p * z + 2.00000001f;
  return p * s;
}

/// log(1 + e^x).
GACER_ALWAYS_INLINE float softplus(float x) {
  return select(x < 0.0f, 0.0f, x) + log1p_unit(exp(-absolute(x)));
}

}  // namespace vector_math
}  // namespace gacer
