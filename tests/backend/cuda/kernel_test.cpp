#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <span>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/backend/cuda/node_run.h"

namespace gacer {
namespace {

using testing::conv;
using testing::convert;
using testing::Kept;
using testing::make_case;
using testing::NodeCase;

PostOp activation(Activation which, float alpha = 0, float beta = 0) {
  PostOp post;
  post.activation = which;
  post.alpha = alpha;
  post.beta = beta;
  return post;
}
PostOp operand(PostOp::Kind kind) {
  PostOp post;
  post.kind = kind;
  return post;
}

struct Arithmetic {
  Precision precision;
  DType dtype;
  Layout layout;
  double tolerance;
  const char* name;
};
void PrintTo(const Arithmetic& mode, std::ostream* out) { *out << mode.name; }

class CudaKernel : public testing::OnCudaDevice<::testing::TestWithParam<Arithmetic>> {
 protected:
  void TearDown() override {
    if (device_ != nullptr && !IsSkipped() && ran_ == 0 && !testing::has_libraries())
      GTEST_SKIP() << "no kernel of the backend's own takes these, or generated code is part of it";
  }

  /// Every variant at the full width and at half of it gives what plain loops give.
  void check(const NodeCase& base, bool is_timed = false, Kept kept = Kept::kNothing) {
    const Arithmetic& mode = GetParam();
    const NodeCase node = convert(base, mode.dtype, mode.layout, kept);
    SCOPED_TRACE(print_graph(node.graph));
    const std::string refused = testing::refusals(*device_, node, mode.precision);
    if (!refused.empty() && !testing::has_libraries()) return;  // TearDown() says if nothing runs
    ASSERT_EQ(refused, "") << base.graph.node(0).op;
    int ran = 0;
    std::string refusals;
    const int groups = device_->info().num_groups;
    for (const int width : {groups, std::max(1, groups / 2)}) {
      for (const testing::VariantResult& result :
           testing::run_variants(*device_, node, mode.precision, width, is_timed)) {
        if (is_timed) {
          std::string footprint;
          for (const std::string& line : result.footprint) footprint += " [" + line + "]";
          printf("%s %s w%d %.2f us err %.2g %s %s %s\n", mode.name, base.graph.node(0).op.c_str(),
                 width, result.microseconds, result.error, result.key.substr(0, 70).c_str(),
                 footprint.c_str(), result.refusal.c_str());
        }
        if (!result.refusal.empty()) {
          refusals += "\n" + result.key + ": " + result.refusal;
          if (!testing::has_libraries()) {
            EXPECT_THAT(result.refusal, ::testing::HasSubstr("libnvrtc")) << result.key;
          }
          continue;
        }
        ++ran;
        EXPECT_LE(result.error, mode.tolerance) << result.key;
      }
    }
    ran_ += ran;
    if (!testing::has_libraries()) return;
    EXPECT_GT(ran, 0) << "every variant was refused" << refusals;
  }

  /// No kernel takes the case with a value kept in f32.
  void check_refused(const NodeCase& base, Kept kept) {
    const NodeCase node = convert(base, GetParam().dtype, GetParam().layout, kept);
    ++ran_;
    EXPECT_NE(testing::refusals(*device_, node, GetParam().precision), "")
        << print_graph(node.graph);
  }

  /// Every variant rounds an f32 image as a cast before it would.
  void check_rounding(const NodeCase& base) {
    const Arithmetic& mode = GetParam();
    const NodeCase mixed = convert(base, mode.dtype, mode.layout, Kept::kImage);
    const NodeCase rounded = testing::round_image(mixed, mode.dtype);
    const int groups = device_->info().num_groups;
    const auto run = [&](const NodeCase& node) {
      return testing::run_variants(*device_, node, mode.precision, groups);
    };
    const std::vector<testing::VariantResult> expected = run(rounded);
    EXPECT_FALSE(expected.empty());
    ran_ += static_cast<int>(expected.size());
    for (const testing::VariantResult& result : run(mixed)) {
      const auto same = std::find_if(
          expected.begin(), expected.end(),
          [&](const testing::VariantResult& other) { return other.key == result.key; });
      ASSERT_NE(same, expected.end()) << result.key;
      EXPECT_EQ(result.refusal, "") << result.key;
      EXPECT_TRUE(result.bytes == same->bytes) << result.key;
    }
  }

 private:
  int ran_ = 0;  ///< variants, in all cases of the test
};

TEST_P(CudaKernel, Convolution3x3WithBiasResidualRelu) {
  check(make_case("Conv", {{2, 32, 14, 14}, {64, 32, 3, 3}, {64}}, {1, 2}, conv(3, 1),
                  {operand(PostOp::Kind::kAdd), activation(Activation::kRelu)}));
}

TEST_P(CudaKernel, Convolution1x1WithBiasRelu) {
  check(make_case("Conv", {{2, 64, 14, 14}, {128, 64, 1, 1}, {128}}, {1, 2}, conv(1, 1),
                  {activation(Activation::kRelu)}));
}

TEST_P(CudaKernel, Convolution1x1WithHardSwish) {
  check(make_case("Conv", {{2, 64, 14, 14}, {128, 64, 1, 1}, {128}}, {1, 2}, conv(1, 1),
                  {activation(Activation::kHardSwish)}));
}

TEST_P(CudaKernel, ConvolutionWithoutBias) {
  check(make_case("Conv", {{2, 32, 14, 14}, {32, 32, 3, 3}}, {1}, conv(3, 2)));
  check(make_case("Conv", {{2, 32, 14, 14}, {32, 32, 3, 3}}, {1}, conv(3, 1),
                  {operand(PostOp::Kind::kAdd), activation(Activation::kRelu)}));
}

TEST_P(CudaKernel, FirstConvolutionOfThreeChannels) {
  check(make_case("Conv", {{2, 3, 32, 32}, {64, 3, 7, 7}, {64}}, {1, 2}, conv(7, 2),
                  {activation(Activation::kRelu)}));
}

TEST_P(CudaKernel, FirstConvolutionsOfManyShapes) {
  // Filters of 16, 32 and 64 at a time; windows and strides; images that fill no tile.
  check(make_case("Conv", {{2, 3, 37, 41}, {16, 3, 3, 3}, {16}}, {1, 2}, conv(3, 2),
                  {activation(Activation::kHardSwish)}));
  check(make_case("Conv", {{1, 1, 19, 70}, {32, 1, 5, 5}, {32}}, {1, 2}, conv(5, 1)));
  check(make_case("Conv", {{1, 4, 40, 40}, {96, 4, 3, 3}}, {1}, conv(3, 1)));
  check(make_case("Conv", {{2, 3, 67, 67}, {128, 3, 11, 11}, {128}}, {1, 2}, conv(11, 4),
                  {activation(Activation::kRelu)}));
}

TEST_P(CudaKernel, FirstConvolutionsOfF32Images) {
  if (GetParam().layout == Layout::kRowMajor || GetParam().dtype == DType::kF32)
    GTEST_SKIP() << "channels-last results of 16-bit types";
  const auto relu = activation(Activation::kRelu);
  for (const NodeCase& node :
       {make_case("Conv", {{2, 3, 37, 41}, {16, 3, 3, 3}, {16}}, {1, 2}, conv(3, 2),
                  {activation(Activation::kHardSwish)}),
        make_case("Conv", {{1, 1, 19, 70}, {32, 1, 5, 5}, {32}}, {1, 2}, conv(5, 1)),
        make_case("Conv", {{1, 7, 40, 40}, {96, 7, 3, 3}}, {1}, conv(3, 1), {relu}),
        make_case("Conv", {{2, 3, 67, 67}, {128, 3, 11, 11}, {128}}, {1, 2}, conv(11, 4),
                  {relu})}) {
    check(node, /*is_timed=*/false, Kept::kImage);
    check_rounding(node);
  }
}

TEST_P(CudaKernel, ProductsWithF32Results) {
  if (GetParam().dtype == DType::kF32) GTEST_SKIP() << "results wider than the operands";
  Attributes a;
  a.set("transB", std::int64_t{1});
  const auto check_wide = [&](const NodeCase& node) {
    check(node, /*is_timed=*/false, Kept::kResultType);
  };
  // By the kernel for few rows, and by cuBLASLt alone.
  for (const std::int64_t rows : {1, 5, 32, 64, 200}) {
    check_wide(make_case("Gemm", {{rows, 264}, {1000, 264}, {1000}}, {1, 2}, a));
    check_wide(
        make_case("Gemm", {{rows, 264}, {1000, 264}}, {1}, a, {activation(Activation::kRelu)}));
    check_wide(make_case("Gemm", {{rows, 264}, {1000, 264}, {1000}}, {1, 2}, a,
                         {activation(Activation::kHardSwish)}));
  }
  check_wide(make_case("Linear", {{8, 4096}, {1000, 4096}, {1000}}, {1, 2}, a,
                       {activation(Activation::kGeluTanh)}));
  check_wide(make_case("Linear", {{3, 256}, {256, 40}, {40}}, {1, 2}));
  check_wide(make_case("Gemm", {{8, 256}, {104, 256}, {104}}, {1, 2}, a,
                       {operand(PostOp::Kind::kAdd), activation(Activation::kRelu)}));
  if (GetParam().layout == Layout::kRowMajor) {
    check_wide(make_case("MatMul", {{2, 4, 32, 16}, {2, 4, 16, 24}}, {}));
    return;
  }
  check_wide(make_case("Conv", {{8, 40, 1, 1}, {120, 40, 1, 1}, {120}}, {1, 2}, conv(1, 1),
                       {activation(Activation::kSigmoid)}));
  check_wide(make_case("Conv", {{2, 64, 14, 14}, {24, 64, 1, 1}, {24}}, {1, 2}, conv(1, 1)));
}

TEST_P(CudaKernel, OthersRefuseTwoTypes) {
  if (GetParam().dtype == DType::kF32) GTEST_SKIP() << "one type";
  const NodeCase window = make_case("Conv", {{2, 32, 14, 14}, {64, 32, 3, 3}}, {1}, conv(3, 1));
  const NodeCase pointwise = make_case("Conv", {{2, 64, 7, 7}, {64, 64, 1, 1}}, {1}, conv(1, 1));
  const NodeCase depthwise = make_case("Conv", {{2, 48, 9, 9}, {48, 1, 3, 3}}, {1}, conv(3, 1, 48));
  const NodeCase product = make_case("Linear", {{8, 256}, {256, 40}}, {1});
  for (const NodeCase* node : {&window, &pointwise, &depthwise, &product})
    check_refused(*node, Kept::kImage);
  for (const NodeCase* node : {&window, &depthwise}) check_refused(*node, Kept::kResultType);
}

TEST_P(CudaKernel, ConvolutionsOfFewPixels) {
  // Channels and filters that fill no tile, long sums, strides, a window that leaves the image.
  check(make_case("Conv", {{2, 128, 13, 11}, {32, 128, 3, 3}}, {1}, conv(3, 1)));
  check(make_case("Conv", {{1, 256, 7, 7}, {136, 256, 3, 3}, {136}}, {1, 2}, conv(3, 1),
                  {operand(PostOp::Kind::kAdd), activation(Activation::kRelu)}));
  check(make_case("Conv", {{3, 24, 9, 9}, {72, 24, 1, 1}, {72}}, {1, 2}, conv(1, 1),
                  {activation(Activation::kHardSwish)}));
  check(make_case("Conv", {{2, 40, 15, 15}, {24, 40, 5, 5}, {24}}, {1, 2}, conv(5, 2),
                  {operand(PostOp::Kind::kMul)}));
  check(make_case("Conv", {{2, 64, 10, 10}, {64, 64, 1, 1}}, {1}, conv(1, 2)));
  // A sum that many blocks share.
  check(make_case("Conv", {{1, 512, 7, 7}, {88, 512, 3, 3}, {88}}, {1, 2}, conv(3, 1),
                  {operand(PostOp::Kind::kAdd), activation(Activation::kRelu)}));
}

TEST_P(CudaKernel, ConvolutionsOfScaledImages) {
  // x, weight, bias, scale, shift.
  for (const std::int64_t relu : {0, 1}) {
    Attributes pointwise = conv(1, 1);
    pointwise.set("relu", relu);
    check(make_case("AffineConv", {{2, 96, 14, 14}, {128, 96, 1, 1}, {128}, {96}, {96}},
                    {1, 2, 3, 4}, pointwise, {activation(Activation::kRelu)}));
    // Where the window leaves the image there is zero, not the shift.
    Attributes window = conv(3, 2);
    window.set("relu", relu);
    check(make_case("AffineConv", {{2, 40, 9, 9}, {32, 40, 3, 3}, {}, {40}, {40}}, {1, 3, 4},
                    window, {operand(PostOp::Kind::kAdd)}));
  }
}

TEST_P(CudaKernel, DepthwiseAndFirstConvolutionsOfScaledImages) {
  Attributes depthwise = conv(3, 1, 48);
  depthwise.set("relu", std::int64_t{1});
  check(make_case("AffineConv", {{2, 48, 15, 15}, {48, 1, 3, 3}, {48}, {48}, {48}}, {1, 2, 3, 4},
                  depthwise, {activation(Activation::kRelu)}));
  Attributes first = conv(3, 2);
  first.set("relu", std::int64_t{0});
  check(make_case("AffineConv", {{2, 3, 37, 41}, {16, 3, 3, 3}, {16}, {3}, {3}}, {1, 2, 3, 4},
                  first, {activation(Activation::kRelu)}));
}

TEST_P(CudaKernel, ConvolutionWithGateAndSigmoid) {
  check(make_case("Conv", {{2, 32, 14, 14}, {64, 32, 1, 1}, {64}}, {1, 2}, conv(1, 1),
                  {activation(Activation::kSigmoid), operand(PostOp::Kind::kMul)}));
}

TEST_P(CudaKernel, DepthwiseConvolutions) {
  for (const std::int64_t kernel : {3, 5})
    for (const std::int64_t stride : {1, 2})
      check(make_case("Conv", {{2, 48, 15, 15}, {48, 1, kernel, kernel}, {48}}, {1, 2},
                      conv(kernel, stride, 48), {activation(Activation::kHardSwish)}));
  // Windows that no kernel is made for alone.
  Attributes dilated = conv(3, 1, 16);
  dilated.set("dilations", std::vector<std::int64_t>{2, 2});
  check(make_case("Conv", {{2, 16, 9, 11}, {16, 1, 3, 3}, {16}}, {1, 2}, dilated));
  check(make_case("Conv", {{1, 16, 9, 11}, {16, 1, 7, 7}, {16}}, {1, 2}, conv(7, 2, 16),
                  {activation(Activation::kRelu)}));
}

TEST_P(CudaKernel, Pools) {
  Attributes a = conv(3, 2);
  a.erase("group");
  check(make_case("MaxPool", {{2, 32, 15, 15}}, {}, a));
  check(make_case("AveragePool", {{2, 32, 15, 15}}, {}, a));
  a.set("count_include_pad", std::int64_t{1});
  check(make_case("AveragePool", {{2, 30, 15, 15}}, {}, a));
  check(make_case("AveragePool", {{2, 32, 15, 14}}, {}, a));
  a.set("ceil_mode", std::int64_t{1});
  check(make_case("AveragePool", {{3, 32, 14, 12}}, {}, a));
  check(make_case("MaxPool", {{3, 32, 14, 12}}, {}, a));
  a.set("dilations", std::vector<std::int64_t>{2, 2});
  check(make_case("MaxPool", {{2, 32, 15, 15}}, {}, a));
  Attributes halves;
  halves.set("kernel_shape", std::vector<std::int64_t>{2, 2});
  halves.set("strides", std::vector<std::int64_t>{2, 2});
  check(make_case("MaxPool", {{2, 64, 15, 17}}, {}, halves));
  check(make_case("AveragePool", {{1, 40, 8, 6}}, {}, halves));
}

TEST_P(CudaKernel, GlobalPools) {
  check(make_case("GlobalAveragePool", {{2, 72, 7, 7}}, {}));
  check(make_case("GlobalMaxPool", {{2, 72, 7, 7}}, {}));
  // Long and short columns, channels that fill no block or no vector.
  check(make_case("GlobalAveragePool", {{1, 120, 28, 28}}, {}));
  check(make_case("GlobalAveragePool", {{3, 33, 14, 14}}, {}));
  check(make_case("GlobalMaxPool", {{2, 40, 2, 3}}, {}));
}

TEST_P(CudaKernel, ConvolutionsOfOnePosition) {
  const std::vector<PostOp> sigmoid = {activation(Activation::kSigmoid)};
  check(make_case("Conv", {{3, 6, 1, 1}, {32, 6, 1, 1}, {}}, {1}, {}, sigmoid));
  check(make_case("Conv", {{5, 32, 1, 1}, {10, 32, 1, 1}, {10}}, {1, 2}, {},
                  {activation(Activation::kRelu)}));
  Attributes padded;
  padded.set("pads", std::vector<std::int64_t>{1, 1, 1, 1});
  check(make_case("Conv", {{2, 24, 1, 1}, {16, 24, 3, 3}, {16}}, {1, 2}, padded));
  check(make_case("Conv", {{2, 24, 3, 3}, {16, 24, 3, 3}, {16}}, {1, 2}));
  padded.set("pads", std::vector<std::int64_t>{2, 2, 2, 2});
  check(make_case("Conv", {{2, 24, 1, 1}, {16, 24, 3, 3}, {16}}, {1, 2}, padded));
  check(make_case("Conv", {{3, 24, 1}, {16, 24, 1}, {}}, {1}, {}, sigmoid));
}

TEST_P(CudaKernel, SqueezeAndExcite) {
  Attributes a;
  a.set("activation", std::string("relu"));
  // Few and many channels; hidden values that fill no vector; one position.
  check(make_case("SqueezeExcite", {{2, 72, 28, 28}, {24, 72, 1, 1}, {24}, {72, 24, 1, 1}, {72}},
                  {1, 2, 3, 4}, a, {activation(Activation::kHardSigmoid, 1.0F / 6, 0.5F)}));
  // Weights as a trained network's: the mean and the hidden vector are rounded where kernels meet.
  const NodeCase many =
      make_case("SqueezeExcite", {{1, 960, 7, 7}, {240, 960, 1, 1}, {240}, {960, 240, 1, 1}, {960}},
                {1, 2, 3, 4}, a, {activation(Activation::kSigmoid)});
  check(testing::scale_weights(many, 0.1F));
  a.set("activation", std::string("silu"));
  check(make_case("SqueezeExcite", {{3, 32, 9, 5}, {6, 32, 1, 1}, {}, {32, 6, 1, 1}, {}}, {1, 3}, a,
                  {activation(Activation::kSigmoid)}));
  check(make_case("SqueezeExcite", {{2, 16, 1, 1}, {1, 16, 1, 1}, {1}, {24, 1, 1, 1}, {24}},
                  {1, 2, 3, 4}, {}));
}

Attributes resize(const char* mode, const char* coordinates) {
  Attributes a;
  a.set("mode", std::string(mode));
  a.set("coordinate_transformation_mode", std::string(coordinates));
  return a;
}

TEST_P(CudaKernel, ResizesInEveryMode) {
  using testing::make_resize_case;
  check(make_resize_case({2, 24, 5, 7}, {2, 24, 10, 14}, resize("nearest", "asymmetric")));
  check(make_resize_case({2, 24, 10, 14}, {2, 24, 3, 5}, resize("nearest", "half_pixel")));
  check(make_resize_case({2, 23, 5, 7}, {2, 23, 11, 9}, resize("linear", "half_pixel")));
  check(make_resize_case({1, 16, 5, 7}, {1, 16, 11, 9}, resize("cubic", "align_corners")));
  Attributes antialias = resize("linear", "pytorch_half_pixel");
  antialias.set("antialias", std::int64_t{1});
  check(make_resize_case({1, 16, 15, 17}, {1, 16, 6, 9}, antialias));
  check(make_resize_case({2, 8, 9}, {2, 8, 31}, resize("linear", "half_pixel")));
  check(make_resize_case({2, 8, 3, 4, 5}, {2, 8, 6, 7, 9}, resize("linear", "half_pixel")));
}

TEST_P(CudaKernel, SlicesInEveryDirection) {
  using testing::make_integer_case;
  constexpr std::int64_t kFar = std::numeric_limits<std::int64_t>::max();
  check(make_integer_case("Slice", {2, 16, 9, 8}, {{-1}, {-kFar}, {3}, {-1}}));
  check(make_integer_case("Slice", {2, 16, 9, 8}, {{7, 1}, {-kFar, kFar}, {2, 3}, {-3, 2}}));
  check(make_integer_case("Slice", {2, 16, 9, 8}, {{5}, {6}, {2}, {-kFar}}));
}

TEST_P(CudaKernel, FirstConvolutionsWithAnyPadding) {
  // Folded images are packed otherwise for odd paddings.
  for (const int pad : {3, 2}) {
    Attributes a = conv(7, 2);
    a.set("pads", std::vector<std::int64_t>{pad, pad, pad, pad});
    check(make_case("Conv", {{2, 3, 32, 32}, {64, 3, 7, 7}, {64}}, {1, 2}, a));
  }
}

TEST_P(CudaKernel, LocalResponseNormalization) {
  Attributes a;
  a.set("alpha", 0.5F);
  a.set("bias", 2.0F);
  for (const std::int64_t size : {4, 5}) {
    a.set("size", size);
    check(make_case("LRN", {{2, 11, 4, 5}}, {}, a));
    check(make_case("LRN", {{2, 3, 7}}, {}, a));
  }
}

Attributes transpose(std::vector<std::int64_t> kernel, std::vector<std::int64_t> strides,
                     std::vector<std::int64_t> pads, std::int64_t group = 1) {
  Attributes a;
  a.set("kernel_shape", std::move(kernel));
  a.set("strides", std::move(strides));
  a.set("pads", std::move(pads));
  a.set("group", group);
  return a;
}

TEST_P(CudaKernel, TransposedConvolutions) {
  const auto relu = activation(Activation::kRelu);
  const Attributes halving = transpose({2, 2}, {2, 2}, {0, 0, 0, 0});
  check(make_case("ConvTranspose", {{2, 24, 5, 7}, {24, 24, 2, 2}, {24}}, {1, 2}, halving, {relu}));
  check(make_case("ConvTranspose", {{2, 24, 5, 7}, {24, 1, 2, 2}, {1}}, {1, 2}, halving,
                  {activation(Activation::kSigmoid)}));
  // Windows cut at the border, with positions that no input reaches, and that overlap.
  check(make_case("ConvTranspose", {{2, 12, 5, 7}, {12, 6, 2, 2}}, {1},
                  transpose({2, 2}, {2, 2}, {1, 0, 0, 1})));
  Attributes padded = halving;
  padded.set("output_padding", std::vector<std::int64_t>{1, 1});
  check(make_case("ConvTranspose", {{2, 16, 5, 7}, {16, 8, 2, 2}, {8}}, {1, 2}, padded));
  check(make_case("ConvTranspose", {{2, 16, 5, 7}, {16, 4, 3, 3}, {8}}, {1, 2},
                  transpose({3, 3}, {2, 2}, {1, 1, 1, 1}, /*group=*/2), {relu}));
  Attributes dilated = transpose({3, 4}, {1, 3}, {0, 1, 2, 0});
  dilated.set("dilations", std::vector<std::int64_t>{2, 1});
  check(make_case("ConvTranspose", {{2, 8, 5, 7}, {8, 5, 3, 4}, {5}}, {1, 2}, dilated));
  check(make_case("ConvTranspose", {{2, 8, 9}, {8, 16, 4}, {16}}, {1, 2},
                  transpose({4}, {2}, {1, 1})));
  // Post-ops that no kernel takes in.
  check(make_case("ConvTranspose", {{2, 16, 4, 4}, {16, 8, 2, 2}, {8}}, {1, 2}, halving,
                  {operand(PostOp::Kind::kAdd), relu}));
}

Attributes attention(float scale, std::int64_t heads = 0) {
  Attributes a;
  a.set("scale", scale);
  if (heads > 0) {
    a.set("layout", std::string("bshd"));
    a.set("num_heads", heads);
  }
  return a;
}

TEST_P(CudaKernel, AttentionOfSmallHeads) {
  if (GetParam().layout != Layout::kRowMajor) GTEST_SKIP() << "row-major operator";
  check(make_case("Attention", {{2, 3, 40, 15}, {2, 3, 40, 15}, {2, 3, 40, 15}}, {},
                  attention(0.25F)));
  check(make_case("Attention", {{2, 3, 40, 16}, {2, 3, 33, 16}, {2, 3, 33, 24}}, {},
                  attention(0.25F)));
  check(make_case("Attention", {{2, 20, 96}, {2, 24, 96}, {2, 24, 48}, {2, 3, 1, 24}}, {},
                  attention(0.2F, 3)));
  Attributes transposed = attention(0.25F);
  transposed.set("k_transposed", std::int64_t{1});
  check(make_case("Attention", {{1, 2, 20, 16}, {1, 2, 16, 30}, {1, 2, 30, 16}}, {}, transposed));
  // The first queries see nothing but masked keys.
  NodeCase masked =
      make_case("Attention", {{1, 2, 20, 32}, {1, 2, 40, 32}, {1, 2, 40, 32}, {20, 40}}, {},
                attention(0.25F));
  const std::span<float> mask = masked.inputs[3].mutable_data<float>();
  for (std::size_t i = 0; i < mask.size(); ++i)
    if (i < 120 || i % 3 == 0) mask[i] = -std::numeric_limits<float>::infinity();
  check(masked);
}

TEST_P(CudaKernel, AttentionOfLongRows) {
  if (GetParam().layout != Layout::kRowMajor || GetParam().dtype == DType::kF32)
    GTEST_SKIP() << "row-major operator of 16-bit types";
  for (const std::int64_t size : {32, 40, 64, 128})
    check(make_case("Attention", {{2, 2, 70, size}, {2, 2, 130, size}, {2, 2, 130, size}}, {},
                    attention(0.125F)));
  Attributes causal = attention(0.125F, 12);
  causal.set("causal", std::int64_t{1});
  check(make_case("Attention", {{2, 128, 768}, {2, 128, 768}, {2, 128, 768}}, {}, causal));
  check(make_case("Attention", {{2, 128, 384}, {2, 128, 384}, {2, 128, 384}, {2, 1, 1, 128}}, {},
                  attention(0.2F, 12)));
}

TEST_P(CudaKernel, Linear) {
  Attributes a;
  a.set("transB", std::int64_t{1});
  check(make_case("Gemm", {{8, 256}, {104, 256}, {104}}, {1, 2}, a));
  check(
      make_case("Gemm", {{8, 256}, {104, 256}, {104}}, {1, 2}, a, {activation(Activation::kRelu)}));
  check(make_case("Gemm", {{8, 256}, {104, 256}, {104}}, {1, 2}, a,
                  {operand(PostOp::Kind::kAdd), activation(Activation::kHardSwish)}));
}

TEST_P(CudaKernel, ProductsWithFewRows) {
  Attributes a;
  a.set("transB", std::int64_t{1});
  // Rows, columns and k that fill no tile; k of many steps; a weight that must be transposed.
  for (const std::int64_t rows : {1, 5, 8, 17, 49, 64})
    check(make_case("Gemm", {{rows, 264}, {1000, 264}, {1000}}, {1, 2}, a,
                    {activation(Activation::kHardSwish)}));
  check(make_case("Gemm", {{8, 4096}, {2056, 4096}, {2056}}, {1, 2}, a,
                  {operand(PostOp::Kind::kAdd), activation(Activation::kRelu)}));
  if (GetParam().layout == Layout::kRowMajor)
    check(make_case("MatMul", {{3, 256}, {256, 40}}, {1}));
  check(make_case("Conv", {{8, 40, 1, 1}, {120, 40, 1, 1}, {120}}, {1, 2}, conv(1, 1),
                  {activation(Activation::kHardSigmoid, 1.0F / 6, 0.5F)}));
  check(make_case("Conv", {{1, 64, 7, 7}, {128, 64, 1, 1}, {128}}, {1, 2}, conv(1, 1),
                  {operand(PostOp::Kind::kAdd), activation(Activation::kRelu)}));
}

TEST_P(CudaKernel, MatMulOfBatches) {
  if (GetParam().layout != Layout::kRowMajor) GTEST_SKIP() << "row-major operator";
  check(make_case("MatMul", {{2, 4, 32, 16}, {2, 4, 16, 24}}, {}));
  check(make_case("MatMul", {{2, 32, 16}, {16, 24}}, {1}));
}

TEST_P(CudaKernel, PointwiseWithBroadcasting) {
  check(make_case("Add", {{2, 32, 7, 7}, {2, 32, 7, 7}}, {}, {}, {activation(Activation::kRelu)}));
  check(make_case("Mul", {{2, 32, 7, 7}, {2, 32, 1, 1}}, {}));
  check(make_case("Mul", {{2, 30, 7, 7}, {1}}, {}));
  check(make_case("Sigmoid", {{2, 32, 7, 7}}, {}));
  check(make_case("HardSwish", {{3, 31}}, {}));
  check(make_case("Erf", {{3, 31}}, {}));
}

TEST_P(CudaKernel, Movement) {
  Attributes axis;
  axis.set("axis", std::int64_t{1});
  check(make_case("Concat", {{2, 32, 7, 7}, {2, 24, 7, 7}}, {}, axis));
  if (GetParam().layout != Layout::kRowMajor) return;
  Attributes perm;
  perm.set("perm", std::vector<std::int64_t>{0, 2, 1, 3});
  check(make_case("Transpose", {{2, 8, 5, 16}}, {}, perm));
  check(make_case("Flatten", {{2, 8, 5, 16}}, {}));
}

TEST_P(CudaKernel, RowOperators) {
  if (GetParam().layout != Layout::kRowMajor) GTEST_SKIP() << "row-major operators";
  check(make_case("Softmax", {{8, 1000}}, {}));
  Attributes axis;
  axis.set("axis", std::int64_t{1});
  check(make_case("Softmax", {{2, 17, 5}}, {}, axis));
  check(make_case("LayerNormalization", {{4, 12, 96}, {96}, {96}}, {1, 2}));
  // Over rows, columns and the middle; more of the first than a grid has blocks along y.
  check(testing::make_integer_case("ReduceMean", {5, 300}, {{1}}));
  check(testing::make_integer_case("ReduceMax", {3, 40, 33}, {{1}}));
  check(testing::make_integer_case("ReduceSum", {3, 40, 64}, {{1}}));
  for (const std::int64_t inner : {7, 8})
    check(testing::make_integer_case("ReduceMean", {65540, 3, inner}, {{1}}));
}

TEST_P(CudaKernel, TimesOfTextDetectionShapes) {
  if (std::getenv("GACER_TIME_KERNELS") == nullptr)
    GTEST_SKIP() << "a measurement: set GACER_TIME_KERNELS";
  const Attributes halving = transpose({2, 2}, {2, 2}, {0, 0, 0, 0});
  for (const std::int64_t channels : {24, 64, 256}) {
    const std::int64_t side = channels == 24 ? 160 : 56;
    check(make_case("ConvTranspose",
                    {{1, channels, side, side}, {channels, channels, 2, 2}, {channels}}, {1, 2},
                    halving, {activation(Activation::kRelu)}),
          true);
  }
  check(make_case("ConvTranspose", {{1, 24, 320, 320}, {24, 1, 2, 2}, {1}}, {1, 2}, halving,
                  {activation(Activation::kSigmoid)}),
        true);
  for (const std::int64_t side : {20, 40, 80})
    check(testing::make_resize_case({1, 96, side, side}, {1, 96, 2 * side, 2 * side},
                                    resize("nearest", "asymmetric")),
          true);
}

TEST_P(CudaKernel, TimesOfAttention) {
  if (std::getenv("GACER_TIME_KERNELS") == nullptr)
    GTEST_SKIP() << "a measurement: set GACER_TIME_KERNELS";
  if (GetParam().layout != Layout::kRowMajor || GetParam().dtype == DType::kF32)
    GTEST_SKIP() << "row-major operator of 16-bit types";
  check(make_case("Attention", {{4, 8, 40, 15}, {4, 8, 40, 15}, {4, 8, 40, 15}}, {},
                  attention(0.25F)),
        true);
  for (const std::int64_t batch : {1, 8})
    check(make_case("Attention", {{batch, 128, 768}, {batch, 128, 768}, {batch, 128, 768}}, {},
                    attention(0.125F, 12)),
          true);
}

TEST_P(CudaKernel, TimesOfModelShapes) {
  if (std::getenv("GACER_TIME_KERNELS") == nullptr)
    GTEST_SKIP() << "a measurement: set GACER_TIME_KERNELS";
  const auto relu = activation(Activation::kRelu);
  check(make_case("Conv", {{8, 3, 224, 224}, {64, 3, 7, 7}, {64}}, {1, 2}, conv(7, 2), {relu}),
        true);
  check(make_case("Conv", {{8, 64, 56, 56}, {64, 64, 3, 3}, {64}}, {1, 2}, conv(3, 1), {relu}),
        true);
  check(make_case("Conv", {{8, 3, 224, 224}, {64, 3, 3, 3}, {64}}, {1, 2}, conv(3, 1), {relu}),
        true);
  check(make_case("Conv", {{8, 3, 224, 224}, {64, 3, 11, 11}, {64}}, {1, 2}, conv(11, 4), {relu}),
        true);
  // What densenet and resnets have many of.
  for (const std::int64_t batch : {1, 8}) {
    for (const std::int64_t side : {56, 28, 14, 7}) {
      check(make_case("Conv", {{batch, 128, side, side}, {32, 128, 3, 3}}, {1}, conv(3, 1)), true);
      Attributes affine = conv(1, 1);
      affine.set("relu", std::int64_t{1});
      const std::int64_t channels = 14336 / side;
      check(
          make_case(
              "AffineConv",
              {{batch, channels, side, side}, {128, channels, 1, 1}, {128}, {channels}, {channels}},
              {1, 2, 3, 4}, affine, {relu}),
          true);
      const std::int64_t wide = 3584 / side;
      check(make_case("Conv", {{batch, wide, side, side}, {wide, wide, 3, 3}, {wide}}, {1, 2},
                      conv(3, 1), {relu}),
            true);
    }
  }
  Attributes transposed;
  transposed.set("transB", std::int64_t{1});
  for (const std::int64_t rows : {1, 8, 32})
    for (const auto& [n, k] : {std::pair<std::int64_t, std::int64_t>{4096, 9216}, {1000, 4096}})
      check(make_case("Gemm", {{rows, k}, {n, k}, {n}}, {1, 2}, transposed, {relu}), true);
  if (GetParam().dtype != DType::kF32)
    for (const std::int64_t rows : {1, 8, 32})
      check(make_case("Gemm", {{rows, 4096}, {1000, 4096}, {1000}}, {1, 2}, transposed), true,
            Kept::kResultType);
  check(
      make_case("Conv", {{8, 1024, 14, 14}, {256, 1024, 1, 1}, {256}}, {1, 2}, conv(1, 1), {relu}),
      true);
  check(make_case("Conv", {{8, 256, 14, 14}, {1024, 256, 1, 1}, {1024}}, {1, 2}, conv(1, 1),
                  {operand(PostOp::Kind::kAdd), relu}),
        true);
}

/// Keys of all forms of split_conv, which plans of other builds may name.
std::vector<std::string> split_conv_keys() {
  std::vector<std::string> keys;
  for (const char* tiles : {"t1", "t2", "t4"})
    for (const char* groups : {"g1", "g2", "g4", "g8"})
      for (const char* warps : {"w4", "w8", "w16"})
        for (const char* cluster : {"", "c2", "c4", "c8"})
          keys.push_back(std::string("own/split_conv/") + tiles + groups + warps + cluster);
  return keys;
}

TEST_P(CudaKernel, EveryFormOfSplitConvolutions) {
  const Arithmetic& mode = GetParam();
  if (mode.dtype == DType::kF32 || mode.layout != Layout::kChannelsLast)
    GTEST_SKIP() << "16 bits and channels last only";
  Attributes affine = conv(3, 1);
  affine.set("relu", std::int64_t{1});
  for (const NodeCase& base :
       {make_case("Conv", {{2, 72, 5, 3}, {40, 72, 1, 1}, {40}}, {1, 2}, conv(1, 1)),
        make_case("AffineConv", {{1, 40, 3, 5}, {24, 40, 3, 3}, {24}, {40}, {40}}, {1, 2, 3, 4},
                  affine)}) {
    const NodeCase node = convert(base, mode.dtype, mode.layout);
    int ran = 0;
    for (const testing::VariantResult& result :
         testing::run_variants(*device_, node, mode.precision, device_->info().num_groups,
                               /*is_timed=*/false, split_conv_keys())) {
      if (result.refusal.empty()) ++ran;
      EXPECT_LE(result.error, mode.tolerance) << result.key;
    }
    EXPECT_GE(ran, 30) << "forms of 36, with clusters 144, that fit a multiprocessor";
  }
}

/// The forms that its rating would have measured.
std::vector<std::string> chosen_split_conv_keys(const Device& device, const NodeCase& node,
                                                Precision precision) {
  const KernelCall call = make_call(node.graph, 0, precision);
  std::vector<std::string> chosen;
  for (const KernelImpl* impl : device.kernels()) {
    if (!impl->supports(call)) continue;
    for (const std::string& key : impl->variants(call, device.info().num_groups))
      if (key.starts_with("own/split_conv/")) chosen.push_back(key);
  }
  return chosen;
}

// Of every form, whether its rating would have it measured or not; then how far the best of those
// that it would is behind the best of all. `split_conv.cpp` cites what comes last.
TEST_P(CudaKernel, TimesOfSplitConvolutions) {
  if (std::getenv("GACER_TIME_KERNELS") == nullptr)
    GTEST_SKIP() << "a measurement: set GACER_TIME_KERNELS";
  const Arithmetic& mode = GetParam();
  if (mode.dtype == DType::kF32 || mode.layout != Layout::kChannelsLast)
    GTEST_SKIP() << "16 bits and channels last only";
  struct Size {
    std::int64_t channels, side, filters, kernel;
    bool has_prologue = false;
  };
  double sum_of_logs = 0;
  double worst = 1;
  int num_cases = 0;
  // Of densenet121, resnets and mobilenet_v3_large.
  for (const Size& size : {Size{128, 56, 32, 3},
                           {128, 28, 32, 3},
                           {128, 14, 32, 3},
                           {128, 7, 32, 3},
                           {256, 56, 128, 1, true},
                           {512, 28, 128, 1, true},
                           {1024, 14, 128, 1, true},
                           {1024, 7, 128, 1, true},
                           {64, 56, 64, 3},
                           {128, 28, 128, 3},
                           {256, 14, 256, 3},
                           {512, 7, 512, 3},
                           {1024, 14, 256, 1},
                           {256, 14, 1024, 1},
                           {2048, 7, 512, 1},
                           {512, 7, 2048, 1},
                           {960, 7, 160, 1},
                           {112, 14, 672, 1}})
    for (const std::int64_t batch : {1, 8}) {
      std::vector<Shape> operands = {{batch, size.channels, size.side, size.side},
                                     {size.filters, size.channels, size.kernel, size.kernel},
                                     {size.filters}};
      std::vector<int> constants = {1, 2};
      Attributes attributes = conv(size.kernel, 1);
      if (size.has_prologue) {
        attributes.set("relu", std::int64_t{1});
        operands.insert(operands.end(), 2, Shape{size.channels});
        constants.insert(constants.end(), {3, 4});
      }
      const NodeCase node =
          convert(make_case(size.has_prologue ? "AffineConv" : "Conv", operands, constants,
                            attributes, {activation(Activation::kRelu)}),
                  mode.dtype, mode.layout);
      const std::vector<std::string> chosen =
          chosen_split_conv_keys(*device_, node, mode.precision);
      double best = INFINITY;
      double best_chosen = INFINITY;
      for (const testing::VariantResult& result :
           testing::run_variants(*device_, node, mode.precision, device_->info().num_groups,
                                 /*is_timed=*/true, split_conv_keys())) {
        if (!result.refusal.empty()) continue;
        EXPECT_LE(result.error, mode.tolerance) << result.key;
        best = std::min(best, result.microseconds);
        const bool is_chosen = std::find(chosen.begin(), chosen.end(), result.key) != chosen.end();
        if (is_chosen) best_chosen = std::min(best_chosen, result.microseconds);
        printf("%s %d %d %d %d %d %s %.2f us%s\n", mode.name, static_cast<int>(batch),
               static_cast<int>(size.channels), static_cast<int>(size.side),
               static_cast<int>(size.filters), static_cast<int>(size.kernel), result.key.c_str(),
               result.microseconds, is_chosen ? " chosen" : "");
      }
      ASSERT_LT(best_chosen, INFINITY) << "none of the chosen forms ran";
      sum_of_logs += std::log(best_chosen / best);
      worst = std::max(worst, best_chosen / best);
      ++num_cases;
    }
  printf("%s best of the chosen over best of all: %d convolutions, geomean %.3f, worst %.3f\n",
         mode.name, num_cases, std::exp(sum_of_logs / num_cases), worst);
}

INSTANTIATE_TEST_SUITE_P(
    Arithmetic, CudaKernel,
    ::testing::Values(
        Arithmetic{Precision::kF32, DType::kF32, Layout::kRowMajor, 1e-4, "f32"},
        Arithmetic{Precision::kF32, DType::kF32, Layout::kChannelsLast, 1e-4, "f32_last"},
        Arithmetic{Precision::kTF32, DType::kF32, Layout::kChannelsLast, 5e-3, "tf32_last"},
        Arithmetic{Precision::kF16, DType::kF16, Layout::kRowMajor, 2e-2, "fp16"},
        Arithmetic{Precision::kF16, DType::kF16, Layout::kChannelsLast, 2e-2, "fp16_last"},
        Arithmetic{Precision::kBF16, DType::kBF16, Layout::kChannelsLast, 4e-2, "bf16_last"}),
    [](const ::testing::TestParamInfo<Arithmetic>& mode) { return mode.param.name; });

}  // namespace
}  // namespace gacer
