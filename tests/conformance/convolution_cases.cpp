#include "base/dtype.h"
#include "tests/conformance/cases.h"

namespace gacer::conformance {
namespace {

using Ints = std::vector<std::int64_t>;

struct ConvSetup {
  const char* name;
  Shape x;
  Shape w;
  Ints strides;
  Ints pads;
  Ints dilations;
  std::int64_t group = 1;
};

Attributes attributes_of(const ConvSetup& setup) {
  Attributes attributes;
  attributes.set("strides", setup.strides);
  attributes.set("pads", setup.pads);
  attributes.set("dilations", setup.dilations);
  attributes.set("group", setup.group);
  return attributes;
}

const std::vector<ConvSetup>& setups() {
  static const std::vector<ConvSetup> all = {
      {"first", {2, 3, 17, 15}, {16, 3, 7, 7}, {2, 2}, {3, 3, 3, 3}, {1, 1}},
      {"same", {3, 16, 9, 10}, {24, 16, 3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}},
      {"pointwise", {2, 32, 7, 7}, {16, 32, 1, 1}, {1, 1}, {0, 0, 0, 0}, {1, 1}},
      {"pointwise_strided", {2, 16, 8, 8}, {8, 16, 1, 1}, {2, 2}, {0, 0, 0, 0}, {1, 1}},
      {"odd_channels", {2, 13, 8, 6}, {11, 13, 3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}},
      {"dilated", {2, 8, 12, 12}, {8, 8, 3, 3}, {1, 1}, {2, 2, 2, 2}, {2, 2}},
      {"uneven_pads", {2, 8, 9, 9}, {8, 8, 3, 2}, {1, 2}, {0, 1, 2, 0}, {1, 1}},
      {"grouped", {2, 16, 8, 8}, {32, 8, 3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 2},
      {"depthwise", {2, 24, 10, 10}, {24, 1, 3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 24},
      {"depthwise_strided", {2, 20, 10, 10}, {20, 1, 5, 5}, {2, 2}, {2, 2, 2, 2}, {1, 1}, 20},
      {"one_axis", {2, 8, 33}, {16, 8, 3}, {2}, {1, 1}, {1}},
      {"last_axis_of_one", {2, 16, 40, 1}, {24, 16, 5, 1}, {1, 1}, {2, 0, 2, 0}, {1, 1}},
      {"three_axes", {2, 8, 5, 6, 7}, {8, 8, 3, 3, 3}, {1, 1, 1}, {1, 1, 1, 1, 1, 1}, {1, 1, 1}},
  };
  return all;
}

/// Every activation once, each behind a convolution that cannot be told from the others.
void add_activations(std::vector<Case>& cases) {
  struct Entry {
    Activation activation;
    float alpha;
    float beta;
  };
  for (const Entry& entry : {Entry{Activation::kRelu, 0, 0}, Entry{Activation::kLeakyRelu, 0.1F, 0},
                             Entry{Activation::kClip, 0, 6}, Entry{Activation::kSigmoid, 0, 0},
                             Entry{Activation::kHardSigmoid, 0.2F, 0.5F},
                             Entry{Activation::kHardSwish, 0, 0}, Entry{Activation::kSilu, 0, 0},
                             Entry{Activation::kGelu, 0, 0}, Entry{Activation::kGeluTanh, 0, 0},
                             Entry{Activation::kTanh, 0, 0}, Entry{Activation::kElu, 0.7F, 0}}) {
    CaseBuilder builder(std::string("conv_") + to_string(entry.activation));
    const ValueId x = builder.input({2, 8, 6, 6});
    const ValueId w = builder.constant({8, 8, 3, 3});
    Attributes attributes;
    attributes.set("pads", Ints{1, 1, 1, 1});
    builder.node("Conv", {x, w}, attributes)
        .activation(entry.activation, entry.alpha, entry.beta)
        .images("onednn.convolution");
    cases.push_back(builder.build());
  }
}

/// An f32 image beside 16-bit weights, and the other way round.
void add_conversions(std::vector<Case>& cases) {
  for (const DType half : {DType::kF16, DType::kBF16})
    for (const bool reads_f32 : {true, false}) {
      CaseBuilder builder(std::string(reads_f32 ? "conv_of_f32_to_" : "conv_to_f32_of_") +
                          to_string(half));
      const ValueId x =
          builder.input({2, 3, 9, 8}, /*batch_axis=*/0, reads_f32 ? DType::kF32 : half);
      builder.node("Conv", {x, builder.constant({16, 3, 3, 3}, half), builder.constant({16}, half)})
          .activation(Activation::kRelu)
          .result(reads_f32 ? half : DType::kF32)
          .images("")
          .tolerance(1e-2);
      cases.push_back(builder.build());
    }
}

void add_residual(std::vector<Case>& cases) {
  for (const PostOp::Kind kind : {PostOp::Kind::kAdd, PostOp::Kind::kMul}) {
    CaseBuilder builder(kind == PostOp::Kind::kAdd ? "conv_residual" : "conv_gate");
    const ValueId x = builder.input({2, 16, 7, 7});
    const ValueId residual = builder.input({2, 24, 7, 7});
    const ValueId w = builder.constant({24, 16, 1, 1});
    const ValueId bias = builder.constant({24});
    builder.node("Conv", {x, w, bias})
        .post(kind, residual)
        .activation(Activation::kRelu)
        .images("onednn.convolution");
    cases.push_back(builder.build());
  }
}

void add_transposed(std::vector<Case>& cases) {
  const std::vector<ConvSetup> transposed = {
      {"upsample", {2, 24, 5, 6}, {24, 16, 2, 2}, {2, 2}, {0, 0, 0, 0}, {1, 1}},
      {"overlapping", {2, 8, 5, 5}, {8, 6, 4, 3}, {2, 2}, {1, 1, 1, 1}, {1, 1}},
      {"grouped", {2, 8, 4, 4}, {8, 3, 3, 3}, {1, 1}, {0, 0, 0, 0}, {1, 1}, 2},
  };
  for (const ConvSetup& setup : transposed) {
    CaseBuilder builder(std::string("conv_transpose_") + setup.name);
    const ValueId x = builder.input(setup.x);
    const ValueId w = builder.constant(setup.w);
    const ValueId bias = builder.constant({setup.w[1] * setup.group});
    Attributes attributes = attributes_of(setup);
    if (setup.strides[0] == 2 && setup.pads[0] == 1) attributes.set("output_padding", Ints{1, 0});
    builder.node("ConvTranspose", {x, w, bias}, attributes).images("onednn.deconvolution");
    cases.push_back(builder.build());
  }
  for (const std::int64_t channels : {std::int64_t{1}, std::int64_t{12}, std::int64_t{16}}) {
    CaseBuilder builder("conv_transpose_apart" + std::to_string(channels));
    const ValueId x = builder.input({2, 24, 5, 6});
    const ValueId w = builder.constant({24, channels, 2, 3});
    const ValueId bias = builder.constant({channels});
    Attributes attributes;
    attributes.set("strides", Ints{2, 3});
    builder.node("ConvTranspose", {x, w, bias}, attributes)
        .activation(Activation::kSigmoid)
        .images("onednn.upsample");
    cases.push_back(builder.build());
  }
}

/// The mean of each channel and two products of it, with a gate's sigmoid behind them.
void add_squeeze_excite(std::vector<Case>& cases) {
  for (const Shape& shape : {Shape{3, 24, 7, 6}, Shape{2, 13, 9}}) {
    const std::int64_t channels = shape[1];
    CaseBuilder builder("squeeze_excite" + std::to_string(shape.rank()));
    const auto weight = [&](std::int64_t rows, std::int64_t columns) {
      return builder.constant(shape.rank() == 4 ? Shape{rows, columns, 1, 1}
                                                : Shape{rows, columns, 1});
    };
    const ValueId x = builder.input(shape);
    const ValueId squeeze = weight(8, channels);
    const ValueId squeeze_bias = builder.constant({8});
    const ValueId excite = weight(channels, 8);
    Attributes attributes;
    attributes.set("activation", std::string(to_string(Activation::kRelu)));
    builder.node("SqueezeExcite", {x, squeeze, squeeze_bias, excite, kNone}, attributes)
        .activation(Activation::kHardSigmoid, 0.2F, 0.5F)
        .images("");
    cases.push_back(builder.build());
  }
}

}  // namespace

std::vector<Case> convolution_cases() {
  std::vector<Case> cases;
  for (const ConvSetup& setup : setups()) {
    CaseBuilder builder(std::string("conv_") + setup.name);
    const ValueId x = builder.input(setup.x);
    const ValueId w = builder.constant(setup.w);
    const ValueId bias = builder.constant({setup.w[0]});
    builder.node("Conv", {x, w, bias}, attributes_of(setup)).images("onednn.convolution");
    cases.push_back(builder.build());
  }
  {
    CaseBuilder builder("conv_computed_weights");
    const ValueId x = builder.input({2, 8, 6, 6});
    const ValueId w = builder.input({8, 8, 3, 3}, /*batch_axis=*/-1);
    builder.node("Conv", {x, w}).images("onednn.convolution");
    cases.push_back(builder.build());
  }
  add_activations(cases);
  add_conversions(cases);
  add_residual(cases);
  add_transposed(cases);
  add_squeeze_excite(cases);
  return cases;
}

std::vector<Case> pooling_cases() {
  std::vector<Case> cases;
  struct Setup {
    const char* name;
    const char* op;
    Ints kernel, strides, pads;
    std::int64_t ceil = 0;
    std::int64_t counts_padding = 0;
  };
  for (const Setup& setup : {
           Setup{"max", "MaxPool", {3, 3}, {2, 2}, {1, 1, 1, 1}},
           Setup{"max_ceil", "MaxPool", {2, 2}, {2, 2}, {0, 0, 0, 0}, 1},
           Setup{"average", "AveragePool", {3, 2}, {3, 2}, {0, 0, 0, 0}},
           Setup{"average_padded", "AveragePool", {3, 3}, {1, 1}, {1, 1, 1, 1}},
           Setup{"average_counts", "AveragePool", {3, 3}, {2, 2}, {1, 1, 1, 1}, 0, 1},
           Setup{"average_ceil", "AveragePool", {3, 3}, {2, 2}, {0, 0, 0, 0}, 1},
       }) {
    CaseBuilder builder(std::string("pool_") + setup.name);
    const ValueId x = builder.input({2, 20, 9, 11});
    Attributes attributes;
    attributes.set("kernel_shape", setup.kernel);
    attributes.set("strides", setup.strides);
    attributes.set("pads", setup.pads);
    attributes.set("ceil_mode", setup.ceil);
    if (setup.counts_padding != 0) attributes.set("count_include_pad", setup.counts_padding);
    builder.node(setup.op, {x}, attributes).images("onednn.pooling");
    cases.push_back(builder.build());
  }
  for (const char* op : {"GlobalAveragePool", "GlobalMaxPool"}) {
    for (const Shape& shape : {Shape{2, 20, 7, 6}, Shape{2, 16, 9}}) {
      CaseBuilder builder(std::string("pool_") + op + std::to_string(shape.rank()));
      const ValueId x = builder.input(shape);
      builder.node(op, {x}).images("onednn.pooling");
      cases.push_back(builder.build());
    }
  }
  return cases;
}

}  // namespace gacer::conformance
