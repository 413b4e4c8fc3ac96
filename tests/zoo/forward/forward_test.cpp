// Forward passes through whole models.

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "ops/op_def.h"
#include "zoo/weights.h"
#include "zoo/zoo.h"

namespace gacer {
namespace {

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

class ZooForward : public ::testing::TestWithParam<std::string_view> {};

// A gate is close to one half everywhere, masked scores are meant to be far out.
bool has_own_scale(const Graph& graph, const Node& node) {
  const Value& value = graph.value(node.outputs[0]);
  return node.op == "Softmax" || value.name == "mask" ||
         value.name.find("scale_activation") != std::string::npos ||
         value.name.find("masked") != std::string::npos;
}

// Every activation is an output, so that one evaluation shows them all.
TEST_P(ZooForward, ActivationsStayInRangeAndTellInputsApart) {
  Graph graph = build_zoo_model(GetParam(), 1);
  const Tensor other = evaluate_graph(graph, random_inputs(graph, 2)).at(0);
  for (const Node& node : graph.nodes()) {
    const Value& value = graph.value(node.outputs[0]);
    if (value.dtype == DType::kF32 && value.shape.num_elements() >= 256)
      graph.outputs.push_back(node.outputs[0]);
  }
  const std::vector<Tensor> values = evaluate_graph(graph, random_inputs(graph, 1));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Value& value = graph.value(graph.outputs[i]);
    const auto data = values[i].data<float>();
    EXPECT_TRUE(std::all_of(data.begin(), data.end(), [](float x) { return std::isfinite(x); }))
        << value.name;
    if (has_own_scale(graph, graph.node(value.producer))) continue;
    EXPECT_GE(deviation(data), 0.05) << value.name;
    EXPECT_LE(deviation(data), 50) << value.name;
  }
  // Between classes: the deviation above. Between inputs:
  EXPECT_GT(max_difference(values[0], other), 0.01 * deviation(values[0].data<float>()));
}

std::vector<std::string_view> model_names() {
  std::vector<std::string_view> names;
  for (const ZooModel* model : all_zoo_models()) names.push_back(model->name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, ZooForward, ::testing::ValuesIn(model_names()),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace gacer
