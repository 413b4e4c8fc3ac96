#include "onnx/writer.h"

#include <unistd.h>

#include <filesystem>

#include <gmock/gmock.h>

#include <gacer/error.h>

#include "onnx/reader.h"
#include "ops/op_def.h"
#include "tests/onnx/model_maker.h"

namespace gacer {
namespace {

using onnx_test::ModelMaker;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class WriteOnnx : public ::testing::Test {
 protected:
  ~WriteOnnx() override { std::filesystem::remove(path_); }
  std::string path_ = (std::filesystem::temp_directory_path() /
                       ("gacer_writer_" + std::to_string(::getpid()) + ".onnx"))
                          .string();
};

// Conv, pooling, shape arithmetic and axes that became inputs in later opsets.
ModelMaker image_model() {
  ModelMaker maker(12);
  maker.input("x", {"batch", 3, 9, 9})
      .floats("w", {4, 3, 3, 3}, std::vector<float>(108, 0.01F))
      .floats("b", {4}, {0.1F, 0.2F, 0.3F, 0.4F})
      .output("y");
  ModelMaker::set_ints(maker.node("Conv", {"x", "w", "b"}, {"c"}), "pads", {1, 1, 1, 1});
  maker.node("Relu", {"c"}, {"r"});
  ModelMaker::set_ints(maker.node("ReduceMean", {"r"}, {"m"}), "axes", {2, 3});
  onnx::NodeProto& squeeze = maker.node("Squeeze", {"m"}, {"s"});
  ModelMaker::set_ints(squeeze, "axes", {2, 3});
  ModelMaker::set_int(maker.node("Softmax", {"s"}, {"y"}), "axis", 1);
  return maker;
}

Tensor ramp(const Shape& shape) {
  Tensor tensor(DType::kF32, shape);
  float next = -3;
  for (float& element : tensor.mutable_data<float>()) element = (next += 0.01F);
  return tensor;
}

TEST_F(WriteOnnx, ReadingGivesTheSameGraph) {
  const Graph graph = parse_onnx(image_model().bytes(), "m", {3, {}});
  write_onnx(graph, path_);
  const Graph again = read_onnx(path_, {3, {}});
  EXPECT_EQ(fingerprint(graph), fingerprint(again)) << print_graph(graph) << print_graph(again);
  const Tensor x = ramp({3, 3, 9, 9});
  const Tensor before = evaluate_graph(graph, std::span(&x, 1)).at(0);
  const Tensor after = evaluate_graph(again, std::span(&x, 1)).at(0);
  EXPECT_TRUE(std::equal(before.bytes(), before.bytes() + before.size_bytes(), after.bytes()));
}

TEST_F(WriteOnnx, BatchIsDynamic) {
  write_onnx(parse_onnx(image_model().bytes(), "m", {3, {}}), path_);
  EXPECT_THAT(read_model_info(path_).inputs.at(0).dims, ElementsAre("N", "3", "9", "9"));
  EXPECT_THAT(read_model_info(path_).outputs.at(0).dims, ElementsAre("N", "4"));
  EXPECT_EQ(read_onnx(path_, {7, {}}).batch, 7);
}

TEST_F(WriteOnnx, BatchIsFixedOnRequest) {
  write_onnx(parse_onnx(image_model().bytes(), "m", {3, {}}), path_, {.dynamic_batch = false});
  EXPECT_THAT(read_model_info(path_).inputs.at(0).dims, ElementsAre("3", "3", "9", "9"));
}

TEST_F(WriteOnnx, BatchIsFixedWhereAConstantStatesIt) {
  ModelMaker maker;
  maker.input("x", {"batch", 6}).ints("rest", {3, 2}).ints("zero", {0}).output("y");
  maker.node("Shape", {"x"}, {"shape"});
  ModelMaker::set_int(maker.node("Gather", {"shape", "zero"}, {"n"}), "axis", 0);
  ModelMaker::set_int(maker.node("Concat", {"n", "rest"}, {"t"}), "axis", 0);
  maker.node("Reshape", {"x", "t"}, {"y"});
  write_onnx(parse_onnx(maker.bytes(), "m", {3, {}}), path_);
  EXPECT_THAT(read_model_info(path_).inputs.at(0).dims, ElementsAre("3", "6"));
}

TEST_F(WriteOnnx, FusedNodesAreRefused) {
  Graph graph = parse_onnx(image_model().bytes(), "m", {});
  graph.node(0).post.push_back({.activation = Activation::kRelu});
  try {
    write_onnx(graph, path_);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
    EXPECT_THAT(error.message(), HasSubstr("Conv"));
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(WriteOnnx, ValuesOfOneNameAreToldApart) {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::kF32, {2});
  const ValueId a = graph.add_constant("c", Tensor::from<float>({2}, {1, 2}));
  const ValueId b = graph.add_constant("c", Tensor::from<float>({2}, {10, 20}));
  ValueId y = x;
  for (const ValueId constant : {a, b}) {
    Value sum;
    sum.name = "sum";
    const ValueId out = graph.add_value(std::move(sum));
    Node node;
    node.op = "Add";
    node.name = "add";
    node.inputs = {y, constant};
    node.outputs = {out};
    infer_node(graph, graph.add_node(std::move(node)));
    y = out;
  }
  graph.outputs = {y};
  write_onnx(graph, path_);
  const Tensor zeros = Tensor::from<float>({2}, {0, 0});
  const Tensor out = evaluate_graph(read_onnx(path_, {}), std::span(&zeros, 1)).at(0);
  EXPECT_THAT(out.data<float>(), ElementsAre(11, 22));
}

TEST_F(WriteOnnx, UnwritablePlaceIsAnIoError) {
  const Graph graph = parse_onnx(image_model().bytes(), "m", {});
  try {
    write_onnx(graph, "/nonexistent/folder/m.onnx");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo);
  }
}

}  // namespace
}  // namespace gacer
