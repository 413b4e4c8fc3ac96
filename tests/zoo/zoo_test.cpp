#include "zoo/zoo.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <gmock/gmock.h>

#include <gacer/error.h>

#include "ops/op_def.h"
#include "zoo/weights.h"

namespace gacer {
namespace {

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const ZooModel* model : all_zoo_models()) names.emplace_back(model->name);
  return names;
}

// Everything that training would learn: not running statistics, not shapes, masks and numbers.
std::int64_t count_parameters(const Graph& graph) {
  std::int64_t count = 0;
  for (const Value& value : graph.values()) {
    if (!value.constant || value.name.find(".running_") != std::string::npos ||
        value.name.starts_with("constant:"))
      continue;
    count += value.shape.num_elements();
  }
  return count;
}

// Random numbers, tokens below the vocabularies, types 0 or 1.
std::vector<Tensor> random_inputs(const Graph& graph, std::uint64_t seed) {
  std::vector<Tensor> inputs;
  for (const ValueId id : graph.inputs) {
    const Value& value = graph.value(id);
    Tensor noise = make_weight("input", value.name, seed, value.shape, {0, 1});
    if (value.dtype == DType::kF32) {
      inputs.push_back(noise);
      continue;
    }
    const std::int64_t limit = value.name == "input_ids" ? 30000 : 2;
    Tensor tokens(DType::kI64, value.shape);
    for (std::size_t i = 0; i < noise.data<float>().size(); ++i)
      tokens.mutable_data<std::int64_t>()[i] =
          value.name == "attention_mask"
              ? 1
              : static_cast<std::int64_t>(std::abs(noise.data<float>()[i]) * 1e5) % limit;
    inputs.push_back(tokens);
  }
  return inputs;
}

double deviation(std::span<const float> data) {
  double sum = 0;
  double squares = 0;
  for (const float x : data) {
    sum += x;
    squares += static_cast<double>(x) * x;
  }
  const auto count = static_cast<double>(data.size());
  return std::sqrt(std::max(0.0, squares / count - sum / count * sum / count));
}

double max_difference(const Tensor& a, const Tensor& b) {
  double result = 0;
  for (std::size_t i = 0; i < a.data<float>().size(); ++i)
    result = std::max<double>(result, std::abs(a.data<float>()[i] - b.data<float>()[i]));
  return result;
}

class Zoo : public ::testing::TestWithParam<std::string> {};

TEST_P(Zoo, HasThePublishedNumberOfParameters) {
  const Graph graph = build_zoo_model(GetParam(), 1);
  EXPECT_EQ(count_parameters(graph), find_zoo_model(GetParam()).num_parameters);
}

TEST_P(Zoo, IsSplittableNodeByNode) {
  const Graph graph = build_zoo_model(GetParam(), 4);
  EXPECT_EQ(graph.batch, 4);
  for (NodeId id = 0; id < graph.num_nodes(); ++id) {
    // Position embeddings are the same for all items.
    const Value& output = graph.value(graph.node(id).outputs[0]);
    const std::vector<ValueId>& inputs = graph.node(id).inputs;
    if (std::all_of(inputs.begin(), inputs.end(), [&](ValueId i) { return graph.is_constant(i); }))
      continue;
    const Result<void> result = is_splittable(graph, id);
    EXPECT_TRUE(result.ok()) << graph.node(id).name << " (" << graph.node(id).op << ") "
                             << output.shape.to_string() << ": " << (result ? "" : result.reason());
  }
}

TEST_P(Zoo, WeightsDoNotDependOnTheBatch) {
  const Graph one = build_zoo_model(GetParam(), 1);
  const Graph three = build_zoo_model(GetParam(), 3);
  ASSERT_EQ(one.num_values(), three.num_values());
  for (ValueId id = 0; id < one.num_values(); ++id) {
    const Value& a = one.value(id);
    const Value& b = three.value(id);
    ASSERT_EQ(a.constant.has_value(), b.constant.has_value());
    if (!a.constant) continue;
    ASSERT_EQ(a.shape, b.shape) << a.name;
    if (a.shape.num_elements() >= 1 << 14 && !a.name.starts_with("constant:"))
      EXPECT_EQ(a.constant->bytes(), b.constant->bytes()) << a.name << " is not shared";
    else
      EXPECT_TRUE(std::equal(a.constant->bytes(), a.constant->bytes() + a.constant->size_bytes(),
                             b.constant->bytes()))
          << a.name;
  }
}

TEST_P(Zoo, SeedsGiveOtherWeights) {
  const Graph a = build_zoo_model(GetParam(), 1, 1);
  const Graph b = build_zoo_model(GetParam(), 1, 2);
  EXPECT_EQ(fingerprint(a), fingerprint(b));
  int different = 0;
  for (ValueId id = 0; id < a.num_values(); ++id)
    if (a.is_constant(id) && a.value(id).dtype == DType::kF32 &&
        !a.value(id).name.starts_with("constant:"))
      different += std::equal(a.value(id).constant->bytes(),
                              a.value(id).constant->bytes() + a.value(id).constant->size_bytes(),
                              b.value(id).constant->bytes())
                       ? 0
                       : 1;
  EXPECT_GT(different, 0);
}

// Every activation is an output, so that one evaluation shows them all.
TEST_P(Zoo, ActivationsStayInRange) {
  Graph graph = build_zoo_model(GetParam(), 1);
  graph.outputs.clear();
  for (const Node& node : graph.nodes())
    if (graph.value(node.outputs[0]).dtype == DType::kF32 &&
        graph.value(node.outputs[0]).shape.num_elements() >= 256 && node.op != "Softmax" &&
        graph.value(node.outputs[0]).name != "mask")
      graph.outputs.push_back(node.outputs[0]);
  const std::vector<Tensor> values = evaluate_graph(graph, random_inputs(graph, 3));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Value& value = graph.value(graph.outputs[i]);
    const auto data = values[i].data<float>();
    EXPECT_TRUE(std::all_of(data.begin(), data.end(), [](float x) { return std::isfinite(x); }))
        << value.name;
    // A gate is close to one half everywhere, a masked score is meant to be far out.
    if (value.name.find("scale_activation") != std::string::npos ||
        value.name.find("masked") != std::string::npos)
      continue;
    RecordProperty(value.name, std::to_string(deviation(data)));
    EXPECT_GE(deviation(data), 0.05) << value.name;
    EXPECT_LE(deviation(data), 50) << value.name;
  }
}

TEST_P(Zoo, OutputsTellInputsAndClassesApart) {
  const Graph graph = build_zoo_model(GetParam(), 1);
  const Tensor a = evaluate_graph(graph, random_inputs(graph, 1)).at(0);
  const Tensor b = evaluate_graph(graph, random_inputs(graph, 2)).at(0);
  const double scale = deviation(a.data<float>());
  EXPECT_GT(scale, 0.05);
  EXPECT_GT(max_difference(a, b), 0.01 * scale);
}

INSTANTIATE_TEST_SUITE_P(All, Zoo, ::testing::ValuesIn(model_names()),
                         [](const auto& test) { return test.param; });

TEST(ZooTable, NamesAreUnique) {
  const std::vector<std::string> names = model_names();
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
  EXPECT_GE(names.size(), 11u);
}

TEST(ZooTable, UnknownNameListsTheModels) {
  try {
    find_zoo_model("resnet9000");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.message(), ::testing::HasSubstr("resnet50"));
  }
}

TEST(ZooTable, BatchMustBePositive) { EXPECT_THROW(build_zoo_model("lstm", 0), Error); }

}  // namespace
}  // namespace gacer
