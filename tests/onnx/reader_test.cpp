#include "onnx/reader.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>

#include <gacer/error.h>

#include "ops/op_def.h"
#include "tests/onnx/model_maker.h"

namespace gacer {
namespace {

using onnx_test::Dim;
using onnx_test::ModelMaker;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Graph read(const ModelMaker& maker, const ReadOptions& options = {}) {
  return parse_onnx(maker.bytes(), "test.onnx", options);
}

Error error_of(const ModelMaker& maker, const ReadOptions& options = {}) {
  try {
    read(maker, options);
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorKind::kInternal, "");
}

std::vector<std::string> ops_of(const Graph& graph) {
  std::vector<std::string> ops;
  for (const Node& node : graph.nodes()) ops.push_back(node.op);
  return ops;
}

std::vector<float> run(const Graph& graph, std::vector<Tensor> inputs) {
  const Tensor out = evaluate_graph(graph, inputs).at(0);
  const auto data = out.data<float>();
  return {data.begin(), data.end()};
}

ModelMaker add_model() {
  ModelMaker maker;
  maker.input("x", {"batch", 2}).floats("w", {2}, {10, 20}).output("y");
  maker.node("Add", {"x", "w"}, {"y"}).set_name("plus");
  return maker;
}

TEST(ReadOnnx, ComputesWhatTheFileSays) {
  const Graph graph = read(add_model(), {2, {}});
  EXPECT_EQ(graph.batch, 2);
  EXPECT_EQ(graph.value(graph.outputs[0]).name, "y");
  EXPECT_EQ(graph.value(graph.outputs[0]).batch, (BatchAxis{0, 1}));
  EXPECT_THAT(run(graph, {Tensor::from<float>({2, 2}, {1, 2, 3, 4})}), ElementsAre(11, 22, 13, 24));
}

TEST(ReadOnnx, InitializersListedAsInputsAreConstants) {
  ModelMaker maker = add_model();
  maker.input("w", {2});
  EXPECT_EQ(read(maker).inputs.size(), 1u);
}

TEST(ReadOnnx, NodesInAnyOrderAreSorted) {
  ModelMaker maker;
  maker.input("x", {"batch", 2}).output("c");
  maker.node("Relu", {"b"}, {"c"});
  maker.node("Neg", {"a"}, {"b"});
  maker.node("Abs", {"x"}, {"a"});
  EXPECT_THAT(ops_of(read(maker)), ElementsAre("Abs", "Neg", "Relu"));
}

TEST(ReadOnnx, CycleIsNamed) {
  ModelMaker maker;
  maker.input("x", {"batch", 2}).output("b");
  maker.node("Add", {"x", "b"}, {"a"}).set_name("first");
  maker.node("Neg", {"a"}, {"b"}).set_name("second");
  const Error error = error_of(maker);
  EXPECT_EQ(error.kind(), ErrorKind::kModel);
  EXPECT_THAT(error.message(), AllOf(HasSubstr("'first'"), HasSubstr("cycle")));
}

TEST(ReadOnnx, MissingTensorIsNamedWithItsReaderAndTheFile) {
  ModelMaker maker;
  maker.input("x", {"batch", 2}).output("y");
  maker.node("Add", {"x", "nowhere"}, {"y"}).set_name("plus");
  const Error error = error_of(maker);
  EXPECT_EQ(error.kind(), ErrorKind::kModel);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("'nowhere'"), HasSubstr("'plus'"),
                                  HasSubstr("test.onnx"), HasSubstr("opset 17")));
}

TEST(ReadOnnx, TensorWrittenTwiceIsRefused) {
  ModelMaker maker = add_model();
  maker.node("Neg", {"x"}, {"y"});
  EXPECT_THAT(error_of(maker).message(), HasSubstr("'y' is written twice"));
  ModelMaker over_input;
  over_input.input("x", {"batch", 2}).output("x");
  over_input.node("Neg", {"x"}, {"x"});
  EXPECT_EQ(error_of(over_input).kind(), ErrorKind::kModel);
}

TEST(ReadOnnx, OutputNeverWrittenIsRefused) {
  ModelMaker maker = add_model();
  maker.output("z");
  EXPECT_THAT(error_of(maker).message(), HasSubstr("'z'"));
}

TEST(ReadOnnx, WrongArityNamesTheNode) {
  ModelMaker maker;
  maker.input("x", {"batch", 2}).output("y");
  maker.node("Add", {"x"}, {"y"}).set_name("lonely");
  const Error error = error_of(maker);
  EXPECT_EQ(error.kind(), ErrorKind::kModel);
  EXPECT_THAT(error.what(), HasSubstr("'lonely'"));
}

TEST(ReadOnnx, AllUnsupportedOperatorsAreListedAtOnce) {
  ModelMaker maker;
  maker.input("x", {"batch", 2}).output("d");
  maker.node("NotAnOperator", {"x"}, {"a"}).set_name("n1");
  maker.node("NotAnOperator", {"a"}, {"b"}).set_name("n2");
  onnx::NodeProto& custom = maker.node("Custom", {"b"}, {"c"});
  custom.set_domain("my.domain");
  maker.node("Scan", {"c"}, {"d"}).set_name("n4");
  const Error error = error_of(maker);
  EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
  EXPECT_THAT(error.message(), AllOf(HasSubstr("NotAnOperator"), HasSubstr("n1, n2"),
                                     HasSubstr("my.domain.Custom"), HasSubstr("Scan")));
}

TEST(ReadOnnx, InternalOperatorsAreNotRead) {
  for (const OpDef* op : all_ops()) {
    if (op->domain != "gacer") continue;
    ModelMaker maker;
    maker.input("x", {"batch", 2}).output("y");
    maker.node(std::string(op->name), {"x"}, {"y"}).set_domain("gacer");
    auto& import = *maker.proto.add_opset_import();
    import.set_domain("gacer");
    import.set_version(1);
    EXPECT_EQ(error_of(maker).kind(), ErrorKind::kUnsupported) << op->name;
  }
}

TEST(ReadOnnx, UnusedNodesNeedNoSupport) {
  ModelMaker maker = add_model();
  maker.node("NotAnOperator", {"x"}, {"unused"});
  EXPECT_THAT(ops_of(read(maker)), ElementsAre("Add"));
}

TEST(ReadOnnx, NewerOpsetsThanKnownAreRefused) {
  ModelMaker maker(99);
  maker.input("x", {"batch", 2}).output("y");
  maker.node("Neg", {"x"}, {"y"});
  EXPECT_THAT(error_of(maker).message(), HasSubstr("opset 99"));
}

TEST(ReadOnnx, ShapeArithmeticIsFolded) {
  ModelMaker maker;
  maker.input("x", {"batch", 3, 4}).ints("zero", {0}).ints("rest", {-1}).output("y");
  maker.node("Shape", {"x"}, {"shape"});
  ModelMaker::set_int(maker.node("Gather", {"shape", "zero"}, {"n"}), "axis", 0);
  ModelMaker::set_int(maker.node("Concat", {"n", "rest"}, {"target"}), "axis", 0);
  maker.node("Reshape", {"x", "target"}, {"y"});
  const Graph graph = read(maker, {5, {}});
  EXPECT_THAT(ops_of(graph), ElementsAre("Reshape"));
  EXPECT_EQ(graph.value(graph.outputs[0]).shape, Shape({5, 12}));
  EXPECT_EQ(graph.value(graph.outputs[0]).batch, (BatchAxis{0, 1}));
}

TEST(ReadOnnx, ConstantNodesOfAllKindsAreRead) {
  ModelMaker maker;
  maker.input("x", {"batch", 2}).output("y");
  onnx::NodeProto& value = maker.node("Constant", {}, {"a"});
  onnx::AttributeProto& tensor = *value.add_attribute();
  tensor.set_name("value");
  tensor.set_type(onnx::AttributeProto::TENSOR);
  ModelMaker::fill(*tensor.mutable_t(), "", {2}, {1, 2});
  onnx::AttributeProto& number = *maker.node("Constant", {}, {"b"}).add_attribute();
  number.set_name("value_float");
  number.set_type(onnx::AttributeProto::FLOAT);
  number.set_f(0.5F);
  maker.node("Add", {"x", "a"}, {"c"});
  maker.node("Mul", {"c", "b"}, {"y"});
  EXPECT_THAT(run(read(maker), {Tensor::from<float>({1, 2}, {1, 2})}), ElementsAre(1, 2));
}

TEST(ReadOnnx, TypedFieldsAreReadLikeRawBytes) {
  ModelMaker maker;
  maker.input("x", {"batch", 2}).output("y");
  onnx::TensorProto& tensor = *maker.graph().add_initializer();
  tensor.set_name("w");
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  tensor.add_dims(2);
  tensor.add_float_data(3);
  tensor.add_float_data(4);
  maker.node("Add", {"x", "w"}, {"y"});
  EXPECT_THAT(run(read(maker), {Tensor::from<float>({1, 2}, {1, 2})}), ElementsAre(4, 6));
  tensor.add_float_data(5);
  EXPECT_THAT(error_of(maker).message(), HasSubstr("'w' f32[2] needs 2 elements"));
}

TEST(ReadOnnx, LargeTensorsAreReadFromTheirPlace) {
  constexpr std::int64_t kCount = 5000;
  ModelMaker maker;
  maker.input("x", {"batch", kCount}).output("y");
  std::vector<float> values(kCount);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  maker.floats("w", {kCount}, values);
  maker.node("Add", {"x", "w"}, {"y"});
  Tensor zeros(DType::kF32, {1, kCount});
  for (float& element : zeros.mutable_data<float>()) element = 0;
  EXPECT_EQ(run(read(maker), {zeros}), values);
  maker.graph().mutable_initializer(0)->set_dims(0, kCount + 1);
  EXPECT_THAT(error_of(maker).message(), HasSubstr("needs 20004 bytes, the file holds 20000"));
}

TEST(ReadOnnx, UnknownElementTypesAreNamed) {
  ModelMaker maker = add_model();
  maker.graph().mutable_initializer(0)->set_data_type(onnx::TensorProto::INT4);
  const Error error = error_of(maker);
  EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
  EXPECT_THAT(error.message(), AllOf(HasSubstr("'w'"), HasSubstr("INT4")));
}

TEST(ReadOnnx, ImpossibleShapesAreRefused) {
  ModelMaker maker = add_model();
  maker.graph().mutable_initializer(0)->set_dims(0, std::int64_t{1} << 62);
  EXPECT_EQ(error_of(maker).kind(), ErrorKind::kModel);
  maker.graph().mutable_initializer(0)->set_dims(0, -5);
  EXPECT_EQ(error_of(maker).kind(), ErrorKind::kModel);
}

// ---- If and functions --------------------------------------------------------------------------

// if (rank of x's shape vector == `rank`) y = -x else y = |x|, with x an outer name.
ModelMaker if_model(std::int64_t rank) {
  ModelMaker maker;
  maker.input("x", {"batch", 2}).ints("rank", {rank}).output("y");
  maker.node("Shape", {"x"}, {"shape"});
  maker.node("Shape", {"shape"}, {"size"});
  maker.node("Equal", {"size", "rank"}, {"condition"});
  onnx::NodeProto& node = maker.node("If", {"condition"}, {"result"});
  const auto add_branch = [&](const char* name, const char* op) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::GRAPH);
    onnx::GraphProto& body = *attribute.mutable_g();
    ModelMaker::add_node(body, op, {"x"}, {"inner"});
    body.add_output()->set_name("inner");
  };
  add_branch("then_branch", "Neg");
  add_branch("else_branch", "Abs");
  maker.node("Add", {"result", "x"}, {"y"});
  return maker;
}

TEST(ReadOnnx, ConstantIfTakesItsBranch) {
  EXPECT_THAT(ops_of(read(if_model(2))), ElementsAre("Neg", "Add"));
  EXPECT_THAT(ops_of(read(if_model(3))), ElementsAre("Abs", "Add"));
}

TEST(ReadOnnx, BranchNotTakenNeedsNoSupport) {
  ModelMaker maker = if_model(2);
  onnx::NodeProto& node = *maker.graph().mutable_node(3);
  ASSERT_EQ(node.op_type(), "If");
  node.mutable_attribute(1)->mutable_g()->mutable_node(0)->set_op_type("NotAnOperator");
  EXPECT_THAT(ops_of(read(maker)), ElementsAre("Neg", "Add"));
  node.mutable_attribute(0)->mutable_g()->mutable_node(0)->set_op_type("NotAnOperator");
  EXPECT_EQ(error_of(maker).kind(), ErrorKind::kUnsupported);
}

TEST(ReadOnnx, IfOnDataIsRefused) {
  ModelMaker maker = if_model(2);
  maker.input("flag", {1}, onnx::TensorProto::BOOL);
  maker.graph().mutable_node(3)->set_input(0, "flag");
  const Error error = error_of(maker);
  EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
  EXPECT_THAT(error.message(), HasSubstr("'flag'"));
}

// f(a; alpha) = LeakyRelu(a, alpha) + a, called twice.
ModelMaker function_model() {
  ModelMaker maker;
  maker.input("x", {"batch", 2}).output("y");
  auto& import = *maker.proto.add_opset_import();
  import.set_domain("my");
  import.set_version(1);
  onnx::FunctionProto& function = *maker.proto.add_functions();
  function.set_domain("my");
  function.set_name("f");
  function.add_input("a");
  function.add_output("r");
  function.add_attribute("slope");
  auto& inner = *function.add_opset_import();
  inner.set_version(17);
  onnx::NodeProto& leaky = *function.add_node();
  leaky.set_op_type("LeakyRelu");
  leaky.add_input("a");
  leaky.add_output("t");
  onnx::AttributeProto& alpha = *leaky.add_attribute();
  alpha.set_name("alpha");
  alpha.set_type(onnx::AttributeProto::FLOAT);
  alpha.set_ref_attr_name("slope");
  onnx::NodeProto& add = *function.add_node();
  add.set_op_type("Add");
  add.add_input("t");
  add.add_input("a");
  add.add_output("r");
  const auto call = [&](const char* from, const char* to, float slope) {
    onnx::NodeProto& node = maker.node("f", {from}, {to});
    node.set_domain("my");
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name("slope");
    attribute.set_type(onnx::AttributeProto::FLOAT);
    attribute.set_f(slope);
  };
  call("x", "m", 0.5F);
  call("m", "y", 0.25F);
  return maker;
}

TEST(ReadOnnx, FunctionsAreInlinedWithTheirAttributes) {
  const Graph graph = read(function_model());
  EXPECT_THAT(ops_of(graph), ElementsAre("LeakyRelu", "Add", "LeakyRelu", "Add"));
  EXPECT_EQ(graph.value(graph.outputs[0]).name, "y");
  // -4 -> -4*1.5 = -6 -> -6*1.25 = -7.5; 1 -> 2 -> 4
  EXPECT_THAT(run(graph, {Tensor::from<float>({1, 2}, {-4, 1})}), ElementsAre(-7.5F, 4));
}

TEST(ReadOnnx, NamesInsideAFunctionAreItsOwn) {
  ModelMaker maker = function_model();
  onnx::FunctionProto& function = *maker.proto.mutable_functions(0);
  function.mutable_node(0)->set_output(0, "y");  // the model's output is "y" too
  function.mutable_node(1)->set_input(0, "y");
  const Graph graph = read(maker);
  int named_y = 0;
  for (const Value& value : graph.values()) named_y += value.name == "y" ? 1 : 0;
  EXPECT_EQ(named_y, 1);
  EXPECT_EQ(graph.value(graph.outputs[0]).name, "y");
  EXPECT_THAT(run(graph, {Tensor::from<float>({1, 2}, {-4, 1})}), ElementsAre(-7.5F, 4));
}

TEST(ReadOnnx, FunctionThatCallsItselfIsRefused) {
  ModelMaker maker = function_model();
  onnx::NodeProto& node = *maker.proto.mutable_functions(0)->mutable_node(1);
  node.set_op_type("f");
  node.set_domain("my");
  EXPECT_EQ(error_of(maker).kind(), ErrorKind::kUnsupported);
}

TEST(ReadOnnx, FunctionsThatAddNoNodesAreCounted) {
  // Each calls the one before twice: a thousand million constants in a few hundred bytes.
  ModelMaker maker;
  maker.input("x", {1}).output("y");
  auto& import = *maker.proto.add_opset_import();
  import.set_domain("my");
  import.set_version(1);
  for (int level = 0; level < 30; ++level) {
    onnx::FunctionProto& function = *maker.proto.add_functions();
    function.set_domain("my");
    function.set_name("f" + std::to_string(level));
    function.add_output("a");
    function.add_opset_import()->set_version(17);
    auto& own = *function.add_opset_import();
    own.set_domain("my");
    own.set_version(1);
    for (const char* output : {"a", "b"}) {
      onnx::NodeProto& node = *function.add_node();
      node.add_output(output);
      if (level > 0) {
        node.set_op_type("f" + std::to_string(level - 1));
        node.set_domain("my");
      } else {
        node.set_op_type("Constant");
        onnx::AttributeProto& value = *node.add_attribute();
        value.set_name("value_float");
        value.set_type(onnx::AttributeProto::FLOAT);
        value.set_f(1);
      }
    }
    // What nobody reads is not expanded.
    function.add_output("b");
  }
  onnx::NodeProto& call = maker.node("f29", {}, {"c", "d"});
  call.set_domain("my");
  maker.node("Add", {"c", "d"}, {"e"});
  maker.node("Add", {"x", "e"}, {"y"});
  EXPECT_THAT(error_of(maker).message(), HasSubstr("more than 1048576 nodes"));
}

TEST(ReadOnnx, TheFirstOutputMayBeUnwanted) {
  ModelMaker maker;
  maker.input("x", {"batch", 4}).output("y");
  onnx::AttributeProto& axis = *maker.node("Split", {"x"}, {"", "y"}).add_attribute();
  axis.set_name("axis");
  axis.set_type(onnx::AttributeProto::INT);
  axis.set_i(1);
  const Graph graph = read(maker);
  EXPECT_THAT(run(graph, {Tensor::from<float>({1, 4}, {1, 2, 3, 4})}), ElementsAre(3, 4));
  EXPECT_GE(cost_of(graph, 0).bytes, 16);
}

TEST(ReadOnnx, OperatorsWithoutInputsAreRefused) {
  for (const char* op : {"Softmax", "GroupNormalization", "GatherND", "Clip", "Pad"}) {
    ModelMaker maker(18);
    maker.input("x", {2}).output("y");
    maker.node(op, {}, {"y"});
    EXPECT_EQ(error_of(maker).kind(), ErrorKind::kModel) << op;
  }
}

// ---- outputs -----------------------------------------------------------------------------------

TEST(ReadOnnx, EveryOutputIsWrittenByANode) {
  ModelMaker maker;
  maker.input("x", {"batch", 2}).floats("w", {2}, {1, 2}).output("x2").output("x3").output("w2");
  maker.node("Neg", {"x"}, {"x2"});
  maker.node("Identity", {"x"}, {"x3"});
  maker.node("Neg", {"w"}, {"w2"});
  const Graph graph = read(maker);
  ASSERT_EQ(graph.outputs.size(), 3u);
  std::vector<std::string> names;
  for (const ValueId id : graph.outputs) {
    EXPECT_NE(graph.value(id).producer, kNone);
    names.push_back(graph.value(id).name);
  }
  EXPECT_THAT(names, ElementsAre("x2", "x3", "w2"));
}

// ---- batch of constants ------------------------------------------------------------------------

TEST(ReadOnnx, FoldedConstantOfBatchSizeIsBroadcastByPointwiseReaders) {
  ModelMaker maker;
  maker.input("x", {"batch", 3}).floats("row", {3}, {1, 2, 3}).output("y");
  maker.node("Shape", {"x"}, {"shape"});
  maker.node("Expand", {"row", "shape"}, {"rows"});
  maker.node("Add", {"x", "rows"}, {"y"});
  const Graph graph = read(maker, {4, {}});
  ASSERT_THAT(ops_of(graph), ElementsAre("Add"));
  EXPECT_EQ(graph.value(graph.node(0).inputs[1]).shape, Shape({1, 3}));
  EXPECT_TRUE(is_splittable(graph, 0));
}

TEST(ReadOnnx, FoldedConstantOfBatchSizeCarriesTheBatch) {
  ModelMaker maker;
  maker.input("x", {"batch", 3}).floats("row", {3}, {1, 2, 3}).output("y");
  maker.node("Shape", {"x"}, {"shape"});
  maker.node("Expand", {"row", "shape"}, {"rows"});
  ModelMaker::set_int(maker.node("Concat", {"x", "rows"}, {"y"}), "axis", 1);
  const Graph graph = read(maker, {4, {}});
  ASSERT_THAT(ops_of(graph), ElementsAre("Concat"));
  EXPECT_EQ(graph.value(graph.node(0).inputs[1]).batch, (BatchAxis{0, 1}));
  EXPECT_TRUE(is_splittable(graph, 0)) << is_splittable(graph, 0).reason();
}

TEST(ReadOnnx, ConstantThatHappensToHaveTheBatchsSizeIsNoBatch) {
  ModelMaker maker;
  maker.input("x", {"batch", 4, 3}).floats("w", {4, 3}, std::vector<float>(12, 1.0F)).output("y");
  maker.node("Add", {"x", "w"}, {"y"});
  const Graph graph = read(maker, {4, {}});
  EXPECT_FALSE(graph.value(graph.node(0).inputs[1]).batch.has_value());
  EXPECT_EQ(graph.value(graph.outputs[0]).batch, (BatchAxis{0, 1}));
}

// ---- files -------------------------------------------------------------------------------------

class ReadOnnxFile : public ::testing::Test {
 protected:
  ReadOnnxFile()
      : folder_(std::filesystem::temp_directory_path() /
                ("gacer_reader_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(folder_ / "models");
  }
  ~ReadOnnxFile() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& bytes) const {
    const std::filesystem::path path = folder_ / name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path.string();
  }

  // add_model() whose weight lies in another file.
  static ModelMaker external(const std::string& location, int offset, int length) {
    ModelMaker maker = add_model();
    onnx::TensorProto& tensor = *maker.graph().mutable_initializer(0);
    tensor.clear_raw_data();
    tensor.set_data_location(onnx::TensorProto::EXTERNAL);
    const auto add = [&](const char* key, const std::string& value) {
      auto& entry = *tensor.add_external_data();
      entry.set_key(key);
      entry.set_value(value);
    };
    add("location", location);
    add("offset", std::to_string(offset));
    add("length", std::to_string(length));
    return maker;
  }

  static std::string weights() {
    const float values[] = {7, 7, 10, 20};
    return {reinterpret_cast<const char*>(values), sizeof values};
  }

  Error file_error(const std::string& path) const {
    try {
      read_onnx(path, {});
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "nothing was thrown";
    return Error(ErrorKind::kInternal, "");
  }

  std::filesystem::path folder_;
};

TEST_F(ReadOnnxFile, MissingFileIsAnIoError) {
  const Error error = file_error((folder_ / "none.onnx").string());
  EXPECT_EQ(error.kind(), ErrorKind::kIo);
  EXPECT_THAT(error.message(), HasSubstr("none.onnx"));
  EXPECT_EQ(file_error(folder_.string()).kind(), ErrorKind::kIo);
}

TEST_F(ReadOnnxFile, EmptyFileAndTextAreNoModels) {
  for (const std::string& bytes : {std::string(), std::string("hello, world\n"),
                                   std::string(300, '\xff'), std::string(5000, '\0')}) {
    const Error error = file_error(write("bad.onnx", bytes));
    EXPECT_EQ(error.kind(), ErrorKind::kModel);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("not an ONNX model"), HasSubstr("bad.onnx")));
  }
}

TEST_F(ReadOnnxFile, ExternalDataAreReadAtTheirOffset) {
  write("models/w.bin", weights());
  const std::string path = write("models/m.onnx", external("w.bin", 8, 8).bytes());
  EXPECT_THAT(run(read_onnx(path, {}), {Tensor::from<float>({1, 2}, {1, 2})}), ElementsAre(11, 22));
}

TEST_F(ReadOnnxFile, ExternalDataBeyondTheFileAreRefused) {
  write("models/w.bin", weights());
  EXPECT_THAT(file_error(write("models/m.onnx", external("w.bin", 12, 8).bytes())).message(),
              AllOf(HasSubstr("'w'"), HasSubstr("offset 12"), HasSubstr("16 bytes")));
  EXPECT_EQ(file_error(write("models/m.onnx", external("w.bin", 0, 4).bytes())).kind(),
            ErrorKind::kModel);
  EXPECT_EQ(file_error(write("models/m.onnx", external("gone.bin", 0, 8).bytes())).kind(),
            ErrorKind::kIo);
}

TEST_F(ReadOnnxFile, ExternalDataOutsideTheFolderAreRefused) {
  write("w.bin", weights());
  std::filesystem::create_symlink(folder_ / "w.bin", folder_ / "models" / "link.bin");
  for (const std::string& location :
       {std::string("../w.bin"), (folder_ / "w.bin").string(), std::string("a/../../w.bin"),
        std::string("link.bin"), std::string()}) {
    const Error error = file_error(write("models/m.onnx", external(location, 8, 8).bytes()));
    EXPECT_EQ(error.kind(), ErrorKind::kModel) << location << ": " << error.what();
  }
}

TEST_F(ReadOnnxFile, InfoTellsWhatTheFileSays) {
  ModelMaker maker = add_model();
  auto& entry = *maker.proto.add_metadata_props();
  entry.set_key("labels");
  entry.set_value("a,b");
  const ModelInfo info = read_model_info(write("m.onnx", maker.bytes()));
  EXPECT_EQ(info.opset, 17);
  EXPECT_EQ(info.ir_version, 8);
  EXPECT_EQ(info.producer, "test");
  ASSERT_EQ(info.inputs.size(), 1u);
  EXPECT_THAT(info.inputs[0].dims, ElementsAre("batch", "2"));
  EXPECT_EQ(info.metadata.at("labels"), "a,b");
  EXPECT_EQ(info.operators.at("Add"), 1);
}

TEST_F(ReadOnnxFile, CheckReportsEveryNode) {
  ModelMaker maker = add_model();
  maker.node("Loop", {"x"}, {"z"}).set_name("loop");
  const auto reports = check_operators(write("m.onnx", maker.bytes()));
  ASSERT_EQ(reports.size(), 2u);
  EXPECT_EQ(reports[0].node, "plus");
  EXPECT_EQ(reports[0].reason, "");
  EXPECT_EQ(reports[1].op, "Loop");
  EXPECT_NE(reports[1].reason, "");
}

TEST(ReadOnnx, WhatAnOperatorDoesNotHaveIsAnError) {
  const auto what = [](std::int64_t opset, const std::string& op,
                       const std::vector<std::string>& inputs,
                       const std::vector<std::string>& outputs, const std::string& attribute = "") {
    ModelMaker maker(opset);
    maker.input("x", {2, 3}).output("y");
    onnx::NodeProto& node = maker.node(op, inputs, outputs);
    if (!attribute.empty()) ModelMaker::set_ints(node, attribute, {1});
    const Error error = error_of(maker);
    EXPECT_EQ(error.kind(), ErrorKind::kModel);
    return std::string(error.what());
  };
  // An attribute until opset 18, an input since: taken for nothing, all axes would be reduced.
  EXPECT_THAT(what(18, "ReduceMean", {"x"}, {"y"}, "axes"),
              AllOf(HasSubstr("no attribute 'axes'"), HasSubstr("(ReduceMean, opset 18)")));
  EXPECT_THAT(what(18, "Relu", {"x", "x"}, {"y"}),
              HasSubstr("2 inputs, the operator has at most 1"));
  EXPECT_THAT(what(18, "Relu", {"x"}, {"y", "z"}), HasSubstr("2 outputs"));
  EXPECT_THAT(what(18, "If", {"x"}, {"y"}, "bogus"), HasSubstr("no attribute 'bogus'"));
  // Any number of inputs, the name of the domain in full, a remark.
  ModelMaker sum;
  sum.input("x", {2, 3}).output("y");
  onnx::NodeProto& node = sum.node("Sum", {"x", "x", "x"}, {"y"});
  node.set_domain("ai.onnx");
  ModelMaker::set_int(node, "__note", 1);
  EXPECT_EQ(ops_of(read(sum)), std::vector<std::string>{"Sum"});
  ModelMaker older(13);
  older.input("x", {2, 3}).output("y");
  ModelMaker::set_ints(older.node("ReduceMean", {"x", ""}, {"y", ""}), "axes", {1});
  EXPECT_EQ(read(older).value(read(older).outputs[0]).shape, Shape({2, 1}));
}

}  // namespace
}  // namespace gacer
