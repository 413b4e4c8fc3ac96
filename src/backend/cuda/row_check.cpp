#include "backend/cuda/row_check.h"

#include <algorithm>
#include <string>

#include "backend/cuda/capture.h"
#include "backend/cuda/kernels/row_check.h"
#include "backend/cuda/window_args.h"

namespace gacer::cuda {
namespace {

constexpr int kThreads = 256;
constexpr unsigned kMostBlocks = 1024;

class RowCheckKernel final : public Kernel {
 public:
  RowCheckKernel(const Services& services, const ByteRows& rows, bool is_comparison)
      : services_(services), rows_(rows), is_comparison_(is_comparison) {}

  void record(const Bindings& bindings, Recorder& recorder) const override {
    if (rows_.size() == 0) return;
    const CUstream stream = dynamic_cast<CudaRecorder&>(recorder).stream();
    RowCheckArgs args;
    args.rows = bindings.inputs.at(0);
    args.copy = is_comparison_ ? bindings.inputs.at(1) : bindings.outputs.at(0);
    args.count = rows_.count;
    args.pitch = rows_.pitch;
    const std::size_t unit = unit_of(args);
    args.units = rows_.bytes / unit;
    const unsigned blocks = std::min(
        kMostBlocks, blocks_for(static_cast<std::int64_t>(args.count * args.units), kThreads));
    const std::string suffix = "_" + std::to_string(unit);
    if (is_comparison_)
      launch(stream, services_.kernel("row_check", "compare_rows" + suffix), {blocks}, {kThreads},
             0, args, bindings.outputs.at(0));
    else
      launch(stream, services_.kernel("row_check", "copy_rows" + suffix), {blocks}, {kThreads}, 0,
             args);
  }

 private:
  /// The largest of 16, 4 and 1 bytes that everything is a multiple of.
  std::size_t unit_of(const RowCheckArgs& args) const {
    const std::size_t all = reinterpret_cast<std::size_t>(args.rows) |
                            reinterpret_cast<std::size_t>(args.copy) | rows_.bytes | rows_.pitch;
    return all % 16 == 0 ? 16 : all % 4 == 0 ? 4 : 1;
  }

  Services services_;
  ByteRows rows_;
  bool is_comparison_;
};

}  // namespace

std::unique_ptr<Kernel> make_row_copy(const Services& services, const ByteRows& rows) {
  return std::make_unique<RowCheckKernel>(services, rows, false);
}

std::unique_ptr<Kernel> make_row_comparison(const Services& services, const ByteRows& rows) {
  return std::make_unique<RowCheckKernel>(services, rows, true);
}

}  // namespace gacer::cuda
