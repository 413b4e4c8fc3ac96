#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include <gtest/gtest.h>

#include "base/dtype.h"
#include "base/error.h"
#include "graph_builder.h"
#include "passes/pass.h"

namespace gacer {
namespace {

using testing::attributes;
using testing::GraphBuilder;
using testing::Ops;
using testing::ops_of;
using testing::relative_error;

using Ints = std::vector<std::int64_t>;

/// Runs the passes and checks that outputs, their names and shapes stay what they were.
Graph optimized(GraphBuilder& builder, const PassOptions& options = {}) {
  const std::vector<Tensor> inputs = builder.random_inputs();
  const std::vector<Tensor> expected = evaluate_graph(builder.graph, inputs);
  Graph graph = builder.graph;
  run_passes(graph, options);
  verify_graph(graph);
  const std::vector<Tensor> actual = evaluate_graph(graph, inputs);
  EXPECT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(graph.value(graph.outputs[i]).name,
              builder.graph.value(builder.graph.outputs[i]).name);
    EXPECT_EQ(actual[i].shape(), expected[i].shape());
    EXPECT_LT(relative_error(actual[i], expected[i]), 1e-5);
  }
  return graph;
}

PassOptions without(std::vector<std::string> names) {
  PassOptions options;
  options.disabled = std::move(names);
  return options;
}

ValueId conv(GraphBuilder& b, ValueId x, std::int64_t out, std::int64_t kernel, bool has_bias) {
  const std::int64_t in = b.graph.value(x).shape[1];
  std::vector<ValueId> inputs = {x, b.weights(Shape{out, in, kernel, kernel}, 0.3F)};
  if (has_bias) inputs.push_back(b.weights(Shape{out}));
  const std::int64_t pad = kernel / 2;
  return b.op("Conv", inputs, attributes({{"pads", Ints{pad, pad, pad, pad}}}));
}

ValueId batch_norm(GraphBuilder& b, ValueId x) {
  const Shape c{b.graph.value(x).shape[1]};
  return b.op("BatchNormalization",
              {x, b.weights(c), b.weights(c), b.weights(c), b.weights(c, 0.1F, 1.0F)});
}

TEST(Passes, RejectsAnUnknownNameAndSaysWhichThereAre) {
  GraphBuilder b;
  try {
    run_passes(b.graph, without({"no_such_pass"}));
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_NE(error.message().find("fuse_epilogue"), std::string::npos);
  }
}

TEST(Passes, EveryPassCanBeSwitchedOff) {
  GraphBuilder b;
  ValueId y = batch_norm(b, conv(b, b.input(Shape{2, 8, 6, 6}), 8, 3, false));
  b.output(b.op("Relu", {y}));
  std::vector<std::string> all;
  for (const Pass* pass : all_passes()) all.emplace_back(pass->name);
  EXPECT_EQ(ops_of(optimized(b, without(all))), ops_of(b.graph));
}

TEST(RemoveIdentities, KeepsTheOutputsName) {
  GraphBuilder b;
  const ValueId x = b.input(Shape{2, 3});
  b.output(b.op("Identity", {b.op("Relu", {x})}));
  EXPECT_EQ(ops_of(optimized(b)), Ops{"Relu"});
}

TEST(RemoveIdentities, KeepsACopyFromInputToOutput) {
  GraphBuilder b;
  b.output(b.op("Identity", {b.input(Shape{4})}));
  EXPECT_EQ(optimized(b).num_nodes(), 1);
}

TEST(RemoveIdentities, JoinsReshapes) {
  GraphBuilder b;
  const ValueId x = b.op("Relu", {b.input(Shape{2, 3, 4})});
  const ValueId flat = b.op("Reshape", {x, b.ints({6, 4})});
  b.output(b.op("Reshape", {flat, b.ints({2, 12})}));
  EXPECT_EQ(ops_of(optimized(b)), (Ops{"Relu", "Reshape"}));
}

TEST(FoldBatchNorm, JoinsBatchNormScaleAndShiftIntoOneConvolution) {
  for (const char* anchor : {"Conv", "ConvTranspose"}) {
    GraphBuilder b;
    const ValueId x = b.input(Shape{2, 6, 5, 5});
    const bool is_transposed = std::string(anchor) == "ConvTranspose";
    const Shape weights = is_transposed ? Shape{6, 4, 3, 3} : Shape{8, 3, 3, 3};
    ValueId y = b.op(anchor, {x, b.weights(weights)}, attributes({{"group", std::int64_t{2}}}));
    y = batch_norm(b, y);
    y = b.op("Mul", {y, b.weights(Shape{8, 1, 1})});
    y = b.op("Add", {y, b.scalar(0.5F)});
    b.output(y);
    EXPECT_EQ(ops_of(optimized(b)), Ops{anchor});
  }
}

TEST(FoldBatchNorm, LeavesAConvolutionThatIsReadTwice) {
  GraphBuilder b;
  const ValueId y = conv(b, b.input(Shape{1, 3, 4, 4}), 4, 1, true);
  b.output(batch_norm(b, y));
  b.output(b.op("Sigmoid", {y}));
  EXPECT_EQ(optimized(b).num_nodes(), 3);
}

TEST(FuseEpilogue, TakesAResidualThatIsProducedLater) {
  GraphBuilder b;
  const ValueId x = b.op("Relu", {b.input(Shape{2, 8, 6, 6})});
  const ValueId main = conv(b, x, 8, 3, true);
  const ValueId side = conv(b, x, 8, 1, true);
  b.output(b.op("Relu", {b.op("Add", {main, side})}));
  const Graph graph = optimized(b);
  ASSERT_EQ(graph.num_nodes(), 3);
  EXPECT_EQ(graph.node(2).post.size(), 2U);
}

TEST(FuseEpilogue, AsksTheDeviceAndTakesBackWhatItRefuses) {
  GraphBuilder b;
  ValueId y = conv(b, b.input(Shape{2, 8, 6, 6}), 8, 3, true);
  y = b.op("Relu", {y});
  b.output(b.op("Tanh", {y}));
  PassOptions options;
  options.is_supported = [](const Graph& graph, NodeId id) {
    return graph.node(id).post.size() <= 1;
  };
  const Graph graph = optimized(b, options);
  EXPECT_EQ(ops_of(graph), (Ops{"Conv", "Tanh"}));
}

TEST(RecognizeActivations, FindsSpelledOutForms) {
  struct Form {
    const char* expected;
    std::function<ValueId(GraphBuilder&, ValueId)> build;
  };
  const std::vector<Form> forms = {
      {"HardSwish",
       [](GraphBuilder& b, ValueId x) {
         const ValueId clip =
             b.op("Clip", {b.op("Add", {x, b.scalar(3)}), b.scalar(0), b.scalar(6)});
         return b.op("Div", {b.op("Mul", {x, clip}), b.scalar(6)});
       }},
      {"HardSwish",
       [](GraphBuilder& b, ValueId x) {
         return b.op("Mul", {b.op("HardSigmoid", {x}, attributes({{"alpha", 1.0F / 6}})), x});
       }},
      {"Silu",
       [](GraphBuilder& b, ValueId x) {
         return b.op("Mul", {x, b.op("Sigmoid", {x})});
       }},
      {"Gelu",
       [](GraphBuilder& b, ValueId x) {
         const ValueId erf = b.op("Erf", {b.op("Div", {x, b.scalar(std::sqrt(2.0F))})});
         return b.op("Mul", {b.op("Mul", {x, b.op("Add", {erf, b.scalar(1)})}), b.scalar(0.5F)});
       }},
      {"Gelu",
       [](GraphBuilder& b, ValueId x) {
         const ValueId cube = b.op("Mul", {b.op("Pow", {x, b.scalar(3)}), b.scalar(0.044715F)});
         const ValueId inner = b.op("Mul", {b.op("Add", {x, cube}), b.scalar(0.7978845608F)});
         const ValueId gate = b.op("Add", {b.op("Tanh", {inner}), b.scalar(1)});
         return b.op("Mul", {b.op("Mul", {b.scalar(0.5F), x}), gate});
       }},
      {"HardSigmoid",
       [](GraphBuilder& b, ValueId x) {
         const ValueId clip =
             b.op("Clip", {b.op("Add", {x, b.scalar(3)}), b.scalar(0), b.scalar(6)});
         return b.op("Mul", {clip, b.scalar(1.0F / 6)});
       }},
  };
  for (const Form& form : forms) {
    GraphBuilder b;
    b.output(form.build(b, b.op("Softmax", {b.input(Shape{4, 33})})));
    const Graph graph = optimized(b, without({"fuse_epilogue"}));
    EXPECT_EQ(ops_of(graph), (Ops{"Softmax", form.expected}));
  }
}

TEST(RecognizeActivations, LeavesWhatOnlyLooksLikeOne) {
  GraphBuilder b;
  const ValueId x = b.input(Shape{4, 33});
  const ValueId clip = b.op("Clip", {b.op("Add", {x, b.scalar(3)}), b.scalar(0), b.scalar(5)});
  b.output(b.op("Div", {b.op("Mul", {x, clip}), b.scalar(6)}));
  const Ops before = ops_of(b.graph);
  EXPECT_EQ(ops_of(optimized(b, without({"fuse_epilogue"}))), before);
}

TEST(RecognizeActivations, LeavesWhatKeepsALogarithmFinite) {
  const auto check = [](const std::function<ValueId(GraphBuilder&, ValueId)>& bound) {
    GraphBuilder b;
    const ValueId gate = b.op("Sigmoid", {b.input(Shape{2, 8})});
    b.output(b.op("Log", {bound(b, gate)}));
    const Ops before = ops_of(b.graph);
    EXPECT_EQ(ops_of(optimized(b)), before);
  };
  check([](GraphBuilder& b, ValueId x) { return b.op("Add", {x, b.scalar(1e-6F)}); });
  check([](GraphBuilder& b, ValueId x) {
    return b.op("Clip", {x, b.scalar(1e-7F), b.scalar(1 - 1e-7F)});
  });
}

TEST(RecognizeActivations, LeavesAFunctionWithAStepOrABoundFarOut) {
  GraphBuilder b;
  const ValueId x = b.input(Shape{2, 8});
  const ValueId whole = b.op("Cast", {x}, attributes({{"to", std::int64_t{6}}}));
  const ValueId steps = b.op("Cast", {whole}, attributes({{"to", std::int64_t{1}}}));
  b.output(b.op("Mul", {x, b.op("Sigmoid", {steps})}));
  const ValueId far = b.op("Mul", {x, b.op("Sigmoid", {x})});
  b.output(b.op("Clip", {far, b.scalar(-100), b.scalar(100)}));
  const Ops ops = ops_of(optimized(b));
  EXPECT_EQ(std::count(ops.begin(), ops.end(), "Clip"), 1);
  EXPECT_EQ(std::count(ops.begin(), ops.end(), "Cast"), 2);
}

TEST(RecognizeActivations, LeavesAConeWhoseInsideIsReadElsewhere) {
  GraphBuilder b;
  const ValueId x = b.input(Shape{4, 33});
  const ValueId gate = b.op("Sigmoid", {x});
  b.output(b.op("Mul", {x, gate}));
  b.output(b.op("Sqrt", {gate}));
  EXPECT_EQ(optimized(b).num_nodes(), 3);
}

TEST(RecognizeLayerNorm, FindsTheSpelledOutForm) {
  for (const bool has_affine : {true, false}) {
    GraphBuilder b;
    const ValueId x = b.input(Shape{2, 5, 16});
    const auto mean = [&](ValueId v) { return b.op("ReduceMean", {v, b.ints({-1})}); };
    const ValueId d = b.op("Sub", {x, mean(x)});
    const ValueId variance = mean(b.op("Pow", {d, b.scalar(2)}));
    const ValueId sqrt = b.op("Sqrt", {b.op("Add", {variance, b.scalar(1e-5F)})});
    ValueId y = b.op("Div", {d, sqrt});
    if (has_affine) {
      y = b.op("Mul", {y, b.weights(Shape{16})});
      y = b.op("Add", {y, b.weights(Shape{16})});
    }
    b.output(y);
    EXPECT_EQ(ops_of(optimized(b)), Ops{"LayerNormalization"});
  }
}

TEST(MakeLinear, TakesMatMulAndGemmWithTheirBias) {
  GraphBuilder b;
  ValueId x = b.input(Shape{2, 5, 16});
  x = b.op("Add", {b.op("MatMul", {x, b.weights(Shape{16, 8}, 0.3F)}), b.weights(Shape{8})});
  x = b.op("Reshape", {x, b.ints({10, 8})});
  x = b.op("Gemm", {x, b.weights(Shape{4, 8}, 0.3F), b.weights(Shape{4})},
           attributes({{"transB", std::int64_t{1}}}));
  b.output(x);
  EXPECT_EQ(ops_of(optimized(b)), (Ops{"Linear", "Linear"}));
}

TEST(MakeLinear, LeavesIntegers) {
  GraphBuilder b;
  const ValueId x = b.graph.add_input("x", DType::kI32, Shape{4, 2});
  const ValueId w = b.graph.add_constant(
      "w", Tensor::from<std::int32_t>(Shape{2, 2}, std::vector<std::int32_t>{1, 2, 3, 4}));
  b.output(b.op("MatMul", {x, w}));
  run_passes(b.graph, {});
  EXPECT_EQ(ops_of(b.graph), Ops{"MatMul"});
}

TEST(FuseEpilogue, WhereTheBoundsOfAClipCrossTheUpperOneWins) {
  GraphBuilder b;
  const ValueId x = conv(b, b.input(Shape{1, 4, 6, 6}), 4, 3, true);
  b.output(b.op("Clip", {x, b.scalar(1), b.scalar(-1)}));
  EXPECT_EQ(ops_of(optimized(b)), Ops{"Conv"});
}

TEST(HalfPrecision, ConstantsStayFiniteAndOtherThanZero) {
  GraphBuilder b;
  const ValueId x = b.input(Shape{2, 8});
  const ValueId bounded = b.op("Max", {x, b.scalar(1e-12F)});
  const ValueId masked = b.op("Mul", {bounded, b.scalar(std::numeric_limits<float>::lowest())});
  b.output(b.op("Add", {masked, b.scalar(-INFINITY)}));
  for (const Precision precision : {Precision::kF16, Precision::kBF16}) {
    Graph graph = b.graph;
    PassOptions options;
    options.precision = precision;
    run_passes(graph, options);
    std::vector<double> numbers;
    for (const Value& value : graph.values())
      if (value.constant && value.dtype != DType::kF32)
        dispatch_dtype(value.dtype, [&](auto tag) {
          numbers.push_back(static_cast<float>(value.constant->data<decltype(tag)>()[0]));
        });
    ASSERT_EQ(numbers.size(), 3U);
    std::sort(numbers.begin(), numbers.end());
    EXPECT_EQ(numbers[0], -INFINITY);
    EXPECT_TRUE(std::isfinite(numbers[1]));
    EXPECT_LE(numbers[1], -65504);
    EXPECT_GT(numbers[2], 0);
    EXPECT_LT(numbers[2], 1e-7);
  }
}

TEST(HalfPrecision, StatisticsOfBatchNormsAreNotRounded) {
  GraphBuilder b;
  const ValueId x = b.input(Shape{2, 4, 3, 3});
  const ValueId relu = b.op("Relu", {x});
  const Shape c{4};
  b.output(b.op("BatchNormalization",
                {relu, b.weights(c), b.weights(c), b.weights(c), b.weights(c, 1, 1e6F)}));
  PassOptions options;
  options.precision = Precision::kF16;
  run_passes(b.graph, options);
  const auto norm = std::find_if(b.graph.nodes().begin(), b.graph.nodes().end(),
                                 [](const Node& node) { return node.op == "BatchNormalization"; });
  ASSERT_NE(norm, b.graph.nodes().end());
  EXPECT_EQ(b.graph.value(norm->inputs[0]).dtype, DType::kF16);
  for (std::size_t i = 1; i < 5; ++i)
    EXPECT_EQ(b.graph.value(norm->inputs[i]).dtype, DType::kF32) << i;
}

TEST(LayoutPass, PutsReordersOnlyWhereTheLayoutChanges) {
  for (const Layout layout : {Layout::kBlocked8, Layout::kChannelsLast}) {
    GraphBuilder b;
    ValueId x = b.input(Shape{2, 3, 12, 12});
    x = b.op("Relu", {conv(b, x, 16, 3, true)});
    x = b.op("MaxPool", {x}, attributes({{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}}));
    const ValueId gate = b.op("Sigmoid", {conv(b, b.op("GlobalAveragePool", {x}), 16, 1, true)});
    x = b.op("Mul", {x, gate});
    const ValueId kept = b.op("Relu", {conv(b, x, 8, 3, true)});
    b.output(kept);
    b.output(b.op("Gemm",
                  {b.op("Flatten", {b.op("GlobalAveragePool", {kept})}), b.weights(Shape{8, 4})}));
    PassOptions options = without({"reshape_in_place"});
    options.image_layout = layout;
    const Graph graph = optimized(b, options);
    const Ops ops = ops_of(graph);
    const auto reorders = std::count(ops.begin(), ops.end(), "Reorder");
    // None before the first convolution, which reads the three channels as they are; out for the
    // kept output, out before Flatten.
    EXPECT_EQ(reorders, 2) << print_graph(graph);
    for (ValueId id : graph.outputs) EXPECT_EQ(graph.value(id).layout, Layout::kRowMajor);
  }
}

TEST(LayoutPass, APoolAfterARowMajorConvolutionTakesTheLayout) {
  GraphBuilder b;
  ValueId x = b.op("Relu", {conv(b, b.input(Shape{2, 3, 12, 12}), 16, 3, true)});
  x = b.op("MaxPool", {x}, attributes({{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}}));
  b.output(b.op("Relu", {conv(b, x, 8, 3, true)}));
  PassOptions options;
  options.image_layout = Layout::kBlocked8;
  options.is_supported = [](const Graph& graph, NodeId id) {
    const Node& node = graph.node(id);
    return node.op != "Conv" || graph.value(node.inputs[0]).shape[1] != 3 ||
           graph.value(node.outputs[0]).layout == Layout::kRowMajor;
  };
  const Graph graph = optimized(b, options);
  for (const Node& node : graph.nodes()) {
    if (node.op != "MaxPool") continue;
    EXPECT_EQ(graph.value(node.inputs[0]).layout, Layout::kBlocked8) << print_graph(graph);
    EXPECT_EQ(graph.value(node.outputs[0]).layout, Layout::kBlocked8);
  }
}

/// A classifier: a pool to one position, flattened, then two products with a reshape between them.
Graph classifier(const PassOptions& options) {
  GraphBuilder b;
  ValueId x = b.input(Shape{2, 3, 12, 12});
  b.graph.batch = 2;
  b.graph.value(x).batch = BatchAxis{};
  x = b.op("Relu", {conv(b, x, 16, 3, true)});
  x = b.op("Flatten", {b.op("GlobalAveragePool", {x})});
  x = b.op("Gemm", {x, b.weights(Shape{16, 12}), b.weights(Shape{12})});
  x = b.op("Softmax", {b.op("Reshape", {x, b.ints({-1, 3, 4})})});
  b.output(b.op("Flatten", {x}));
  return optimized(b, options);
}

TEST(ReshapeInPlace, LeavesNothingOfAReshape) {
  for (const Layout layout : {Layout::kRowMajor, Layout::kBlocked8, Layout::kChannelsLast}) {
    PassOptions options;
    options.image_layout = layout;
    const Graph graph = classifier(options);
    // The last one makes the model's output.
    EXPECT_EQ(ops_of(graph), (Ops{"Conv", "GlobalAveragePool", "Linear", "Softmax", "Flatten"}))
        << print_graph(graph);
    const Value& flat = graph.value(graph.node(2).inputs[0]);
    EXPECT_EQ(graph.value(flat.view_of).producer, 1);
    EXPECT_EQ(flat.batch, BatchAxis{});
  }
}

TEST(ReshapeInPlace, CopiesWhatChangesItsOrder) {
  GraphBuilder b;
  const ValueId x = b.op("Relu", {conv(b, b.input(Shape{2, 3, 12, 12}), 16, 3, true)});
  b.output(b.op("Gemm", {b.op("Flatten", {x}), b.weights(Shape{16 * 144, 8})}));
  PassOptions options;
  options.image_layout = Layout::kChannelsLast;
  EXPECT_EQ(ops_of(optimized(b, options)), (Ops{"Conv", "Reorder", "Linear"}));
}

TEST(ReshapeInPlace, KeepsPartsAndConstantsAsTheyAre) {
  GraphBuilder b;
  const ValueId x = b.input(Shape{2, 8});
  const ValueId rows = b.op("Reshape", {b.op("Relu", {x}), b.ints({2, 8, 1})});
  b.output(b.op("Concat", {rows, b.op("Exp", {rows})}, attributes({{"axis", std::int64_t{1}}})));
  PassOptions options;
  options.concats_in_place = true;
  const Graph graph = optimized(b, options);
  for (const Value& value : graph.values()) {
    if (value.view_of == kNone) continue;
    EXPECT_FALSE(graph.value(value.view_of).slice_of);
  }
}

/// Layers that each read all before them, and a pool that reads the whole block.
GraphBuilder dense_block() {
  GraphBuilder b;
  std::vector<ValueId> parts = {b.op("Relu", {conv(b, b.input(Shape{2, 3, 6, 6}), 8, 3, true)})};
  ValueId whole = parts[0];
  for (int layer = 0; layer < 3; ++layer) {
    parts.push_back(conv(b, b.op("Relu", {batch_norm(b, whole)}), 8, 3, false));
    whole = b.op("Concat", parts, attributes({{"axis", std::int64_t{1}}}));
  }
  b.output(b.op("GlobalAveragePool", {b.op("Relu", {batch_norm(b, whole)})}));
  return b;
}

TEST(ConcatInPlace, ADenseBlockNeedsNoCopies) {
  for (const Layout layout : {Layout::kRowMajor, Layout::kChannelsLast}) {
    GraphBuilder b = dense_block();
    PassOptions options;
    options.concats_in_place = true;
    options.image_layout = layout;
    const Graph graph = optimized(b, options);
    const Ops ops = ops_of(graph);
    EXPECT_EQ(std::count(ops.begin(), ops.end(), "Concat"), 0) << print_graph(graph);
    const auto parts = std::count_if(graph.values().begin(), graph.values().end(),
                                     [](const Value& v) { return v.slice_of.has_value(); });
    EXPECT_EQ(parts, 6) << "four layers, two shorter concats";
  }
}

TEST(ConcatInPlace, StaysACopyWhereAKernelWantsWholeTensors) {
  GraphBuilder b = dense_block();
  PassOptions options;
  options.concats_in_place = true;
  options.is_supported = [](const Graph& graph, NodeId id) {
    const Node& node = graph.node(id);
    return node.op != "Conv" || !graph.value(node.outputs[0]).slice_of;
  };
  const Graph graph = optimized(b, options);
  const Ops ops = ops_of(graph);
  EXPECT_EQ(std::count(ops.begin(), ops.end(), "Concat"), 3) << print_graph(graph);
}

TEST(ConcatInPlace, PartsBeginWhereKernelsCanReadThem) {
  // In f32 a part of three channels-last channels leaves the next one at 12 bytes.
  for (const auto& [channels, num_copies] : {std::pair(3, 1), std::pair(4, 0)}) {
    GraphBuilder b;
    const ValueId x = b.op("Relu", {conv(b, b.input(Shape{2, 3, 6, 6}), channels, 3, true)});
    const ValueId y = b.op("Relu", {conv(b, x, 8, 3, true)});
    b.output(b.op("Relu", {b.op("Concat", {x, y}, attributes({{"axis", std::int64_t{1}}}))}));
    PassOptions options;
    options.concats_in_place = true;
    options.image_layout = Layout::kChannelsLast;
    const Ops ops = ops_of(optimized(b, options));
    EXPECT_EQ(std::count(ops.begin(), ops.end(), "Concat"), num_copies) << channels;
  }
}

ValueId concat(GraphBuilder& b, std::vector<ValueId> parts, std::int64_t axis = 1) {
  return b.op("Concat", std::move(parts), attributes({{"axis", axis}}));
}

TEST(ConcatInPlace, AValueHasOnePlace) {
  const std::vector<std::function<ValueId(GraphBuilder&, ValueId, ValueId)>> forms = {
      [](GraphBuilder& b, ValueId x, ValueId y) {
        return concat(b, {x, concat(b, {x, y})});
      },
      [](GraphBuilder& b, ValueId x, ValueId y) {
        return concat(b, {concat(b, {x, y}), x});
      },
      [](GraphBuilder& b, ValueId x, ValueId y) {
        const ValueId inner = concat(b, {x, y});
        return concat(b, {inner, inner});
      },
      [](GraphBuilder& b, ValueId x, ValueId y) {
        return concat(b, {concat(b, {x, y}), concat(b, {y, x})});
      }};
  for (const auto& form : forms) {
    GraphBuilder b;
    const ValueId image = b.input(Shape{2, 3, 6, 6});
    const ValueId x = b.op("Relu", {conv(b, image, 8, 3, true)});
    const ValueId y = b.op("Relu", {conv(b, image, 8, 3, true)});
    b.output(conv(b, form(b, x, y), 4, 1, false));
    PassOptions options;
    options.concats_in_place = true;
    const Graph graph = optimized(b, options);
    EXPECT_GE(graph.num_nodes(), 4) << print_graph(graph);
  }
}

TEST(ConcatInPlace, APartOfOneRootDoesNotMoveToAnother) {
  GraphBuilder b;
  const ValueId image = b.input(Shape{2, 3, 8, 8});
  const auto make = [&] { return b.op("Relu", {conv(b, image, 8, 3, true)}); };
  const ValueId first = make(), second = make(), third = make();
  const ValueId wide = concat(b, {first, second});
  const ValueId wider = concat(b, {first, second, third});
  const ValueId below = b.op("Relu", {conv(b, image, 16, 3, true)});
  const ValueId tall = concat(b, {wide, below}, 2);
  b.output(b.op("Relu", {tall}));
  b.output(b.op("Relu", {wider}));
  PassOptions options;
  options.concats_in_place = true;
  optimized(b, options);
}

PassOptions where_supported(std::function<bool(const Graph&, NodeId)> is_supported) {
  PassOptions options;
  options.is_supported = std::move(is_supported);
  return options;
}

TEST(FusePrologue, TakesBatchNormAndReluIntoTheConvolutionAfterThem) {
  for (const bool has_relu : {false, true}) {
    for (const bool has_bias : {false, true}) {
      GraphBuilder b;
      ValueId x = batch_norm(b, b.input(Shape{2, 8, 6, 6}));
      if (has_relu) x = b.op("Relu", {x});
      const ValueId y = conv(b, x, 5, 3, has_bias);
      const ValueId other = b.input(b.graph.value(y).shape);
      b.output(b.op("Relu", {b.op("Add", {y, other})}));
      const Graph graph = optimized(b, where_supported([](const Graph&, NodeId) { return true; }));
      ASSERT_EQ(ops_of(graph), Ops{"AffineConv"});
      EXPECT_EQ(graph.node(0).attributes.get_int("relu", -1), has_relu ? 1 : 0);
      EXPECT_EQ(graph.node(0).post.size(), 2U);
    }
  }
}

TEST(FusePrologue, LeavesWhatOthersReadAndWhatNoKernelTakes) {
  const auto supports_all = [](const Graph&, NodeId) { return true; };
  const auto lacks_affine = [](const Graph& graph, NodeId id) {
    return graph.node(id).op != "AffineConv";
  };
  {
    GraphBuilder b;
    const ValueId x = batch_norm(b, b.input(Shape{2, 8, 6, 6}));
    b.output(conv(b, x, 5, 3, true));
    b.output(conv(b, x, 4, 1, true));
    const Graph graph = optimized(b, where_supported(supports_all));
    EXPECT_EQ(ops_of(graph), ops_of(b.graph));
  }
  GraphBuilder b;
  b.output(conv(b, batch_norm(b, b.input(Shape{2, 8, 6, 6})), 5, 3, true));
  for (const PassOptions& options : {where_supported(lacks_affine), PassOptions()}) {
    const Graph graph = optimized(b, options);
    EXPECT_EQ(ops_of(graph), ops_of(b.graph));
    for (const Value& value : graph.values())
      EXPECT_EQ(value.name.find(".scale"), std::string::npos) << "left over: " << value.name;
  }
}

}  // namespace
}  // namespace gacer
