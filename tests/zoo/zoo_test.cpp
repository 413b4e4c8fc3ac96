#include "zoo/zoo.h"

#include <algorithm>
#include <set>

#include <gmock/gmock.h>

#include <gacer/error.h>

#include "ops/op_def.h"

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
