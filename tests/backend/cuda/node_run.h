#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "device/device.h"
#include "graph/graph.h"

namespace gacer::testing {

/// The CUDA device of this machine, opened once; nullptr without one, `reason` says why. Tests of
/// on_cpu/ have one of their own.
Device* cuda_device(std::string* reason);
/// False where that has the backend's own kernels alone, neither libraries nor generated code.
bool has_libraries();

/// Tests of that device, skipped with the reason where there is none.
template <typename Base>
class OnCudaDevice : public Base {
 protected:
  void SetUp() override {
    std::string reason;
    device_ = cuda_device(&reason);
    if (device_ == nullptr) GTEST_SKIP() << reason;
  }
  Device* device_ = nullptr;
};

/// A program of nothing else.
std::unique_ptr<Program> assemble_alone(Device& device, const Capture& capture, Budget budget = {});

/// One node over random operands, in f32 and row-major, with what plain loops make of it.
struct NodeCase {
  Graph graph;
  std::vector<Tensor> inputs;  ///< of the graph's inputs
  Tensor expected;
};

/// Makes a case of one node. Operands whose index is in `constants` are constants, those of rank 0
/// are absent. Posts are appended; a post with an operand reads an extra input of the result's
/// shape.
NodeCase make_case(const std::string& op, const std::vector<Shape>& operands,
                   const std::vector<int>& constants, Attributes attributes = {},
                   std::vector<PostOp> posts = {}, unsigned seed = 1);

/// Attributes of a convolution with a square window whose result is as large as the image, at
/// stride 1 and with a window of odd size.
Attributes conv(std::int64_t kernel, std::int64_t stride, std::int64_t group = 1);

/// The same case with its weights (constants of rank 2 and more) times a factor.
NodeCase scale_weights(const NodeCase& from, float factor);

/// A Resize of an image to a shape.
NodeCase make_resize_case(const Shape& image, const Shape& result, Attributes attributes,
                          unsigned seed = 1);

/// A node of an image and constant integers, one list an operand; an empty list is an absent one.
NodeCase make_integer_case(const std::string& op, const Shape& image,
                           const std::vector<std::vector<std::int64_t>>& integers,
                           Attributes attributes = {}, unsigned seed = 1);

/// A value that stays as it was while convert() changes all others.
enum class Kept { kNothing, kImage, kResultType };

/// The same case with another element type and layout of images (operands of rank 3 to 5 that are
/// no constants). Inputs and constants are rounded, the expectation is made anew. Of the first
/// input type and layout can be kept, of the result its type.
NodeCase convert(const NodeCase& from, DType dtype, Layout layout, Kept kept = Kept::kNothing);
/// The case with its first input's numbers rounded to a type, in which it then is.
NodeCase round_image(const NodeCase& from, DType dtype);

struct VariantResult {
  std::string key;
  std::vector<std::byte> bytes;  ///< of the result, as they lie
  std::string refusal;           ///< empty when it ran
  double error = 0;              ///< largest difference over the result's scale
  double microseconds = 0;
  std::vector<std::string> footprint;
};

/// Makes a kernel's launches on a stream of its own, in no graph, and waits for them.
void run_on_stream(const Kernel& kernel, const Bindings& bindings);

/// Runs every variant of every kernel that supports the case, at one width, or of the variants with
/// these keys those that a kernel knows. Result, workspace and what lies behind every operand are
/// no numbers; writing behind an operand is an infinite error. Expects the same bits from a stream
/// of a GPU as from a graph, unless two runs of the graph differ.
std::vector<VariantResult> run_variants(Device& device, const NodeCase& node, Precision precision,
                                        int width, bool is_timed = false,
                                        const std::vector<std::string>& only = {});

/// Why no kernel supports a case; empty when one does.
std::string refusals(Device& device, const NodeCase& node, Precision precision);

}  // namespace gacer::testing
