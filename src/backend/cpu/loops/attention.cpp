#include "ops/attention.h"

#include <algorithm>
#include <array>
#include <limits>

#include <oneapi/dnnl/dnnl.hpp>

#include "backend/cpu/loops/kernels.h"
#include "backend/cpu/loops/loop_kernel.h"
#include "base/error.h"
#include "base/vector_math.h"
#include "ops/common.h"

namespace gacer::cpu {
namespace {

constexpr std::int64_t kMaxRows = 64;  // of a block of queries

using Strides = std::array<std::int64_t, 4>;

struct Setup {
  AttentionShapes shapes;
  std::vector<std::int64_t> mask_strides;  ///< empty: no mask
  float scale = 1;
  bool is_causal = false;
  std::int64_t rows = 1;    ///< of a block
  std::int64_t blocks = 1;  ///< of a head
  std::size_t scores_per_member = 0;
};

void multiply(char trans_b, std::int64_t m, std::int64_t n, std::int64_t k, float alpha,
              const float* a, std::int64_t lda, const float* b, std::int64_t ldb, float* c,
              std::int64_t ldc) {
  const dnnl_status_t status =
      dnnl_sgemm('N', trans_b, m, n, k, alpha, a, lda, b, ldb, 0.0F, c, ldc);
  if (status != dnnl_success)
    fail(ErrorKind::kDevice, "oneDNN's product of {}x{}x{} failed: status {}", m, n, k,
         static_cast<int>(status));
}

constexpr std::int64_t kLanes = 16;

float largest_of(const float* row, std::int64_t count) {
  std::array<float, kLanes> largest;
  largest.fill(-std::numeric_limits<float>::infinity());
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      float& own = largest[static_cast<std::size_t>(lane)];
      own = row[i + lane] > own ? row[i + lane] : own;
    }
  for (; i < count; ++i) largest[0] = std::max(largest[0], row[i]);
  return *std::max_element(largest.begin(), largest.end());
}

/// Exponentials of a row, less its maximum; returns their sum.
GACER_ALWAYS_INLINE float exponentials_body(float* row, std::int64_t count, float largest) {
  for (std::int64_t i = 0; i < count; ++i) row[i] = vector_math::exp(row[i] - largest);
  // Several sums at once: one alone would wait for itself.
  std::array<float, kLanes> sums{};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (std::int64_t lane = 0; lane < kLanes; ++lane)
      sums[static_cast<std::size_t>(lane)] += row[i + lane];
  for (; i < count; ++i) sums[0] += row[i];
  float sum = 0;
  for (float part : sums) sum += part;
  return sum;
}
GACER_TARGET_AVX2 float exponentials_avx2(float* row, std::int64_t count, float largest) {
  return exponentials_body(row, count, largest);
}
float exponentials(float* row, std::int64_t count, float largest) {
  return has_avx2() ? exponentials_avx2(row, count, largest)
                    : exponentials_body(row, count, largest);
}

/// Softmax of one row of scores; positions that it may not see become 0.
void softmax_row(float* row, std::int64_t visible, std::int64_t keys) {
  const float largest = largest_of(row, visible);
  if (largest == -std::numeric_limits<float>::infinity()) {  // it may see nothing
    std::fill(row, row + keys, 0.0F);
    return;
  }
  const float sum = exponentials(row, visible, largest);
  const float factor = 1.0F / sum;
  for (std::int64_t i = 0; i < visible; ++i) row[i] *= factor;
  std::fill(row + visible, row + keys, 0.0F);
}

/// One block of queries of one head.
void run_block(const Setup& setup, const Bindings& bindings, std::int64_t block, float* scores) {
  const AttentionShapes& s = setup.shapes;
  const std::int64_t head = block / setup.blocks % s.heads;
  const std::int64_t item = block / setup.blocks / s.heads;
  const std::int64_t first = block % setup.blocks * setup.rows;
  const std::int64_t rows = std::min(setup.rows, s.queries - first);
  const auto at = [&](const void* base, const auto& strides, std::int64_t row) {
    return static_cast<const float*>(base) + item * strides[0] + head * strides[1] +
           row * strides[2];
  };
  const bool k_transposed = s.k[3] != 1;
  multiply(k_transposed ? 'N' : 'T', rows, s.keys, s.head_size, setup.scale,
           at(bindings.inputs[0], s.q, first), s.q[2], at(bindings.inputs[1], s.k, 0),
           k_transposed ? s.k[3] : s.k[2], scores, s.keys);
  for (std::int64_t i = 0; i < rows; ++i) {
    float* row = scores + i * s.keys;
    const std::int64_t visible = setup.is_causal ? std::min(s.keys, first + i + 1) : s.keys;
    if (!setup.mask_strides.empty()) {
      const std::int64_t step = setup.mask_strides[3];
      const float* mask = at(bindings.inputs[3], setup.mask_strides, first + i);
      for (std::int64_t j = 0; j < visible; ++j) row[j] += mask[j * step];
    }
    softmax_row(row, visible, s.keys);
  }
  multiply('N', rows, s.value_size, s.keys, 1.0F, scores, s.keys, at(bindings.inputs[2], s.v, 0),
           s.v[2], const_cast<float*>(at(bindings.outputs[0], s.out, first)), s.out[2]);
}

/// softmax(q k' scale + mask) v, a block of queries at a time: scores never leave the cache.
class AttentionLoops final : public LoopKernel {
 public:
  std::string_view name() const override { return "attention"; }

  Result<void> supports(const KernelCall& call) const override {
    if (call.node.op != "Attention") return refuse("not an Attention");
    if (!call.node.post.empty()) return refuse("post-ops");
    const auto check = [](const OperandDesc& operand) -> Result<void> {
      if (operand.is_absent) return {};
      if (operand.dtype != DType::kF32) return refuse("type {}", to_string(operand.dtype));
      if (!operand.is_dense() || operand.layout != Layout::kRowMajor)
        return refuse("an operand {} is not dense and row-major", operand.shape.to_string());
      return {};
    };
    for (const OperandDesc& operand : call.inputs)
      if (auto result = check(operand); !result) return result;
    return check(call.outputs[0]);
  }

 protected:
  Plan plan(const KernelCall& call, int num_threads) const override {
    constexpr std::size_t kCacheLine = 16;  // floats
    Setup setup;
    setup.shapes = attention_shapes(call.node, call.inputs[0].shape, call.inputs[1].shape,
                                    call.inputs[2].shape);
    const AttentionShapes& s = setup.shapes;
    if (call.node.num_op_inputs > 3 && !call.inputs[3].is_absent)
      setup.mask_strides =
          broadcast_strides(call.inputs[3].shape, Shape{s.batch, s.heads, s.queries, s.keys});
    setup.scale = call.node.attributes.get_float("scale", 1.0F);
    setup.is_causal = call.node.attributes.get_int("causal", 0) != 0;
    // Equal blocks, enough of them for all members.
    const std::int64_t heads = s.batch * s.heads;
    const std::int64_t wanted = (num_threads + heads - 1) / heads;
    setup.blocks = std::max((s.queries + kMaxRows - 1) / kMaxRows, std::min(wanted, s.queries));
    setup.rows = (s.queries + setup.blocks - 1) / setup.blocks;
    setup.blocks = (s.queries + setup.rows - 1) / setup.rows;
    setup.scores_per_member =
        (static_cast<std::size_t>(setup.rows * s.keys) + kCacheLine - 1) / kCacheLine * kCacheLine;
    const std::size_t bytes =
        setup.scores_per_member * sizeof(float) * static_cast<std::size_t>(num_threads);
    return {[setup](const Bindings& bindings, StepTeam& team) { run(setup, bindings, team); },
            bytes};
  }

 private:
  static void run(const Setup& setup, const Bindings& bindings, StepTeam& team) {
    const std::int64_t blocks = setup.shapes.batch * setup.shapes.heads * setup.blocks;
    team.run([&](int member) {
      float* scores = static_cast<float*>(bindings.workspace) +
                      static_cast<std::size_t>(member) * setup.scores_per_member;
      for (std::int64_t block = blocks * member / team.size();
           block < blocks * (member + 1) / team.size(); ++block)
        run_block(setup, bindings, block, scores);
    });
  }
};

}  // namespace

const KernelImpl& loops_attention() {
  static const AttentionLoops impl;
  return impl;
}

}  // namespace gacer::cpu
