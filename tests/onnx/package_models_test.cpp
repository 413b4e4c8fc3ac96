// Real models, taken from Python packages by the set-up script; skipped where they are not.

#include <filesystem>
#include <map>

#include <gmock/gmock.h>

#include "onnx/reader.h"
#include "onnx/writer.h"
#include "ops/op_def.h"

namespace gacer {
namespace {

struct Case {
  const char* file;
  std::map<std::string, std::int64_t> dims;
  Shape input;   ///< of the first input at batch 4
  Shape output;  ///< of the first output at batch 4
  int min_nodes, max_nodes;
  double min_splittable;  ///< share of nodes
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.file; }

class PackageModel : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    path_ = std::string(GACER_SOURCE_DIR) + "/.models/" + GetParam().file;
    if (!std::filesystem::exists(path_)) GTEST_SKIP() << path_ << " is not here (make setup)";
  }
  Graph read(std::int64_t batch) const { return read_onnx(path_, {batch, GetParam().dims}); }
  std::string path_;
};

TEST_P(PackageModel, IsReadWithItsShapes) {
  const Graph graph = read(4);
  EXPECT_EQ(graph.value(graph.inputs.at(0)).shape, GetParam().input);
  EXPECT_EQ(graph.value(graph.outputs.at(0)).shape, GetParam().output);
  EXPECT_GE(graph.num_nodes(), GetParam().min_nodes);
  EXPECT_LE(graph.num_nodes(), GetParam().max_nodes);
  EXPECT_EQ(graph.batch, 4);
}

TEST_P(PackageModel, HasKnownOperatorsOnly) {
  for (const OperatorReport& report : check_operators(path_))
    EXPECT_EQ(report.reason, "") << report.node << " (" << report.op << ")";
}

TEST_P(PackageModel, BatchAxesAreThoseThatGrowWithTheBatch) {
  const Graph once = read(4);
  const Graph twice = read(8);
  ASSERT_EQ(once.num_nodes(), twice.num_nodes());
  for (NodeId id = 0; id < once.num_nodes(); ++id) {
    const Value& small = once.value(once.node(id).outputs.at(0));
    const Value& large = twice.value(twice.node(id).outputs.at(0));
    Shape expected = small.shape;
    if (small.batch) expected[small.batch->axis] *= 2;
    if (small.batch || once.batch == 1) {
      EXPECT_EQ(large.shape, expected) << small.name << " " << once.node(id).op;
    }
    EXPECT_EQ(small.batch, large.batch) << small.name << " " << once.node(id).op;
  }
}

TEST_P(PackageModel, MostNodesAreSplittable) {
  const Graph graph = read(8);
  int splittable = 0;
  std::string reasons;
  for (NodeId id = 0; id < graph.num_nodes(); ++id) {
    const Result<void> result = is_splittable(graph, id);
    splittable += result ? 1 : 0;
    if (!result)
      reasons += graph.node(id).op + " " + graph.node(id).name + ": " + result.reason() + "\n";
  }
  RecordProperty("splittable", splittable);
  EXPECT_GE(splittable, GetParam().min_splittable * graph.num_nodes())
      << splittable << " of " << graph.num_nodes() << "\n"
      << reasons;
}

TEST_P(PackageModel, WrittenFileReadsBackEqual) {
  const Graph graph = read(4);
  const std::string copy =
      (std::filesystem::temp_directory_path() / ("gacer_copy_" + std::string(GetParam().file)))
          .string();
  write_onnx(graph, copy, {.dynamic_batch = true});
  const std::vector<std::string> dims = read_model_info(copy).inputs.at(0).dims;
  // A model whose shapes state the batch is written for this batch only, and then has none.
  Graph again = read_onnx(copy, {dims[0] == "N" ? 4 : 1, {}});
  EXPECT_EQ(again.num_nodes(), graph.num_nodes());
  if (dims[0] == "N") {
    EXPECT_EQ(fingerprint(again), fingerprint(graph));
  }
  std::filesystem::remove(copy);
}

INSTANTIATE_TEST_SUITE_P(
    All, PackageModel,
    ::testing::Values(
        Case{"ocr_det.onnx", {{"H", 96}, {"W", 64}}, {4, 3, 96, 64}, {4, 1, 96, 64}, 200, 340, 1.0},
        Case{
            "ocr_rec.onnx", {{"H", 48}, {"W", 320}}, {4, 3, 48, 320}, {4, 40, 6625}, 200, 420, 1.0},
        Case{"ocr_cls.onnx", {{"H", 48}, {"W", 192}}, {4, 3, 48, 192}, {4, 2}, 150, 260, 1.0},
        Case{"magika.onnx", {}, {4, 2048}, {4, 214}, 30, 90, 0.9},
        Case{"silero_vad.onnx", {}, {4, 576}, {4}, 15, 40, 0.5},
        Case{"minilm.onnx", {{"sequence", 32}}, {4, 32}, {4, 32, 384}, 150, 330, 0.95}),
    [](const auto& test) {
      const std::string file = test.param.file;
      return file.substr(0, file.find('.'));
    });

}  // namespace
}  // namespace gacer
