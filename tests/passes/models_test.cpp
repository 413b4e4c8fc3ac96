// The passes on real models: outputs stay what they were, and what should be found is found.

#include <algorithm>
#include <filesystem>
#include <map>

#include <gtest/gtest.h>

#include "graph_builder.h"
#include "onnx/reader.h"
#include "passes/pass.h"
#include "zoo/zoo.h"

namespace gacer {
namespace {

using testing::relative_error;

std::map<std::string, int> count_ops(const Graph& graph) {
  std::map<std::string, int> counts;
  for (const Node& node : graph.nodes()) ++counts[node.op];
  return counts;
}

/// Random inputs that any of the models takes: normal floats, small token ids, masks of ones.
std::vector<Tensor> inputs_of(const Graph& graph) {
  testing::GraphBuilder builder(7);
  std::vector<Tensor> tensors;
  for (ValueId id : graph.inputs) {
    const Value& value = graph.value(id);
    if (value.dtype == DType::kF32) {
      tensors.push_back(builder.random_tensor(value.shape));
      continue;
    }
    Tensor tensor(value.dtype, value.shape);
    const bool is_flag = value.name.find("mask") != std::string::npos ||
                         value.name.find("type") != std::string::npos;
    for (std::int64_t i = 0; i < tensor.num_elements(); ++i) {
      const std::int64_t number = 1 + i % (is_flag ? 1 : 99);
      if (value.dtype == DType::kI64)
        tensor.mutable_data<std::int64_t>()[static_cast<std::size_t>(i)] = number;
      else
        tensor.mutable_data<std::int32_t>()[static_cast<std::size_t>(i)] =
            static_cast<std::int32_t>(number);
    }
    tensors.push_back(tensor);
  }
  return tensors;
}

std::map<std::string, int> check_passes(const Graph& original, Precision precision, double limit) {
  const std::vector<Tensor> inputs = inputs_of(original);
  const std::vector<Tensor> expected = evaluate_graph(original, inputs);
  Graph graph = original;
  PassOptions options;
  options.precision = precision;
  options.image_layout = Layout::kBlocked8;
  run_passes(graph, options);
  const std::vector<Tensor> actual = evaluate_graph(graph, inputs);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(actual[i].dtype(), expected[i].dtype());
    EXPECT_LT(relative_error(actual[i], expected[i]), limit) << original.name << " output " << i;
  }
  return count_ops(graph);
}

struct PackageModel {
  const char* file;
  ReadOptions options;
  std::map<std::string, int> at_least;
  std::vector<std::string> gone;
};

TEST(PassesOnModels, KeepPackageModelsOutputs) {
  const std::filesystem::path folder = std::filesystem::path(GACER_SOURCE_DIR) / ".models";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is missing: run 'make setup'";
  const std::vector<PackageModel> models = {
      {"ocr_det.onnx", {1, {{"H", 64}, {"W", 96}}}, {}, {"BatchNormalization", "Clip"}},
      {"ocr_rec.onnx",
       {2, {{"H", 48}, {"W", 96}}},
       {{"LayerNormalization", 5}, {"Attention", 2}},
       {"BatchNormalization", "Sqrt", "Pow"}},
      {"ocr_cls.onnx", {1, {{"H", 48}, {"W", 192}}}, {}, {"BatchNormalization"}},
      {"magika.onnx", {2, {}}, {}, {}},
      {"silero_vad.onnx", {3, {}}, {{"LSTM", 1}}, {}},
      {"minilm.onnx", {2, {{"sequence", 16}}}, {{"Attention", 6}, {"Linear", 36}}, {"Erf"}},
  };
  for (const PackageModel& model : models) {
    const Graph graph = read_onnx((folder / model.file).string(), model.options);
    std::map<std::string, int> counts = check_passes(graph, Precision::kF32, 1e-4);
    for (const auto& [op, count] : model.at_least)
      EXPECT_GE(counts[op], count) << op << " in " << model.file;
    for (const std::string& op : model.gone)
      EXPECT_EQ(counts.count(op), 0U) << op << " in " << model.file;
  }
}

TEST(PassesOnModels, KeepZooModelsOutputs) {
  for (const auto& [name, nodes] : std::vector<std::pair<const char*, int>>{
           {"mobilenet_v3_large", 0}, {"resnet18", 0}, {"bert_base", 12}}) {
    std::map<std::string, int> counts =
        check_passes(build_zoo_model(name, 1), Precision::kF32, 1e-4);
    EXPECT_EQ(counts["Attention"], nodes) << name;
    EXPECT_EQ(counts.count("BatchNormalization"), 0U) << name;
    EXPECT_EQ(counts.count("Relu"), 0U) << name;
  }
}

TEST(PassesOnModels, HalfPrecisionStaysClose) {
  check_passes(build_zoo_model("resnet18", 1), Precision::kF16, 2e-2);
  check_passes(build_zoo_model("resnet18", 1), Precision::kBF16, 4e-2);
  // Its mask is a product with the least f32, which must not become infinite.
  check_passes(build_zoo_model("bert_base", 1), Precision::kF16, 2e-2);
}

}  // namespace
}  // namespace gacer
