#include "ops/gemm.h"

#include <algorithm>
#include <vector>

#include "base/vector_math.h"

namespace gacer {
namespace {

using Vector = float __attribute__((vector_size(32)));
constexpr int kLanes = 8;
constexpr int kVectors = kGemmPanel / kLanes;
constexpr int kRows = 6;  // 6 x 2 accumulators fill 12 of AVX2's 16 registers

GACER_ALWAYS_INLINE void load(Vector& to, const float* from) {
  __builtin_memcpy(&to, from, sizeof(Vector));
}

/// `kCount` rows of A times one packed panel.
template <int kCount>
GACER_ALWAYS_INLINE void multiply_rows(std::int64_t k, const float* a, std::int64_t lda,
                                       const float* panel, float* c, std::int64_t ldc,
                                       int columns) {
  Vector sums[kCount][kVectors] = {};
  for (std::int64_t i = 0; i < k; ++i) {
    Vector b[kVectors];
    for (int v = 0; v < kVectors; ++v) load(b[v], panel + i * kGemmPanel + v * kLanes);
    for (int r = 0; r < kCount; ++r)
      for (int v = 0; v < kVectors; ++v) sums[r][v] += a[r * lda + i] * b[v];
  }
  for (int r = 0; r < kCount; ++r)
    __builtin_memcpy(c + r * ldc, sums[r], static_cast<std::size_t>(columns) * sizeof(float));
}

GACER_ALWAYS_INLINE void multiply_panel_body(std::int64_t m, std::int64_t k, const float* a,
                                             std::int64_t lda, const float* panel, float* c,
                                             std::int64_t ldc, int columns) {
  std::int64_t row = 0;
  for (; row + kRows <= m; row += kRows)
    multiply_rows<kRows>(k, a + row * lda, lda, panel, c + row * ldc, ldc, columns);
  for (; row + 2 <= m; row += 2)
    multiply_rows<2>(k, a + row * lda, lda, panel, c + row * ldc, ldc, columns);
  if (row < m) multiply_rows<1>(k, a + row * lda, lda, panel, c + row * ldc, ldc, columns);
}

GACER_TARGET_AVX2 void multiply_panel_avx2(std::int64_t m, std::int64_t k, const float* a,
                                           std::int64_t lda, const float* panel, float* c,
                                           std::int64_t ldc, int columns) {
  multiply_panel_body(m, k, a, lda, panel, c, ldc, columns);
}

void multiply_panel_base(std::int64_t m, std::int64_t k, const float* a, std::int64_t lda,
                         const float* panel, float* c, std::int64_t ldc, int columns) {
  multiply_panel_body(m, k, a, lda, panel, c, ldc, columns);
}

}  // namespace

void gemm_panels(const GemmSizes& sizes, const float* a, std::int64_t lda, const PackPanel& pack_b,
                 float* c, std::int64_t ldc, std::int64_t first, std::int64_t last) {
  std::vector<float> panel(static_cast<std::size_t>(sizes.k) * kGemmPanel, 0.0F);
  const auto multiply = has_avx2() ? multiply_panel_avx2 : multiply_panel_base;
  for (std::int64_t i = first; i < last; ++i) {
    const std::int64_t column = i * kGemmPanel;
    const int count = static_cast<int>(std::min<std::int64_t>(kGemmPanel, sizes.n - column));
    pack_b(column, count, panel.data());
    multiply(sizes.m, sizes.k, a, lda, panel.data(), c + column, ldc, count);
  }
}

void gemm(const GemmSizes& sizes, const float* a, std::int64_t lda, const float* b,
          std::int64_t b_row, std::int64_t b_column, float* c, std::int64_t ldc, Team& team) {
  const PackPanel pack = [&](std::int64_t column, int count, float* packed) {
    const float* from = b + column * b_column;
    if (b_column == 1) {
      for (std::int64_t k = 0; k < sizes.k; ++k)
        std::copy_n(from + k * b_row, count, packed + k * kGemmPanel);
      return;
    }
    for (int j = 0; j < count; ++j)
      for (std::int64_t k = 0; k < sizes.k; ++k)
        packed[k * kGemmPanel + j] = from[k * b_row + j * b_column];
  };
  constexpr std::int64_t kSerialFlop = 1 << 16;
  const std::int64_t panels = num_panels(sizes.n);
  const std::int64_t grain = sizes.m * sizes.k * sizes.n < kSerialFlop ? panels : 1;
  team.parallel_for(panels, grain, [&](std::int64_t begin, std::int64_t end) {
    gemm_panels(sizes, a, lda, pack, c, ldc, begin, end);
  });
}

}  // namespace gacer
