#include "backend/cpu/row_check.h"

#include <algorithm>
#include <cstring>

#include "backend/cpu/recorder.h"

namespace gacer::cpu {
namespace {

class RowCopy final : public Kernel {
 public:
  explicit RowCopy(const ByteRows& rows) : rows_(rows) {}
  void record(const Bindings& bindings, Recorder& recorder) const override {
    const auto* const from = static_cast<const std::byte*>(bindings.inputs.at(0));
    auto* const copy = static_cast<std::byte*>(bindings.outputs.at(0));
    dynamic_cast<CpuRecorder&>(recorder).add("copy of rows", [=, rows = rows_](StepTeam&) {
      for (std::size_t row = 0; row < rows.count; ++row)
        std::memcpy(copy + row * rows.bytes, from + row * rows.pitch, rows.bytes);
    });
  }

 private:
  ByteRows rows_;
};

void compare(const ByteRows& rows, const std::byte* from, const std::byte* copy,
             RowDifference& found) {
  for (std::size_t row = 0; row < rows.count; ++row, from += rows.pitch, copy += rows.bytes) {
    if (std::memcmp(from, copy, rows.bytes) == 0) continue;
    for (std::size_t i = 0; i < rows.bytes; ++i) {
      if (from[i] == copy[i]) continue;
      const std::uint64_t at = row * rows.bytes + i;
      ++found.bytes;
      found.first = std::min(found.first, at);
      found.last = std::max(found.last, at);
    }
  }
}

class RowComparison final : public Kernel {
 public:
  explicit RowComparison(const ByteRows& rows) : rows_(rows) {}
  void record(const Bindings& bindings, Recorder& recorder) const override {
    const auto* const from = static_cast<const std::byte*>(bindings.inputs.at(0));
    const auto* const copy = static_cast<const std::byte*>(bindings.inputs.at(1));
    auto* const found = static_cast<RowDifference*>(bindings.outputs.at(0));
    dynamic_cast<CpuRecorder&>(recorder).add(
        "comparison of rows", [=, rows = rows_](StepTeam&) { compare(rows, from, copy, *found); });
  }

 private:
  ByteRows rows_;
};

}  // namespace

std::unique_ptr<Kernel> make_row_copy(const ByteRows& rows) {
  return std::make_unique<RowCopy>(rows);
}

std::unique_ptr<Kernel> make_row_comparison(const ByteRows& rows) {
  return std::make_unique<RowComparison>(rows);
}

}  // namespace gacer::cpu
