#pragma once

#include <cstdint>
#include <functional>

#include "base/parallel.h"

/// Matrix products of the reference evaluation. Every element sums over k in ascending order,
/// whatever the sizes and the team are: a chunk of rows or columns equals the same part of the
/// whole.
namespace gacer {

inline constexpr int kGemmPanel = 16;  ///< columns of B that are packed together

/// Writes columns [column, column + count) of B, count <= kGemmPanel, as packed[k * kGemmPanel +
/// j].
using PackPanel = std::function<void(std::int64_t column, int count, float* packed)>;

/// One operand's or result's rows in memory, `stride` elements apart.
struct GemmSizes {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
};

constexpr std::int64_t num_panels(std::int64_t columns) {
  return (columns + kGemmPanel - 1) / kGemmPanel;
}

/// C = A · B for the column panels [first, last), on the calling thread. A and C are row-major with
/// the row strides `lda` and `ldc`.
void gemm_panels(const GemmSizes& sizes, const float* a, std::int64_t lda, const PackPanel& pack_b,
                 float* c, std::int64_t ldc, std::int64_t first, std::int64_t last);

/// C = A · B with B[k, n] at b[k * b_row + n * b_column], on the team.
void gemm(const GemmSizes& sizes, const float* a, std::int64_t lda, const float* b,
          std::int64_t b_row, std::int64_t b_column, float* c, std::int64_t ldc, Team& team);

}  // namespace gacer
