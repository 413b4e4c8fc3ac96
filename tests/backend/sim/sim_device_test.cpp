#include "backend/sim/sim_device.h"

#include <filesystem>
#include <vector>

#include <gtest/gtest.h>

#include "backend/sim/sim_program.h"
#include "base/error.h"
#include "cost/model.h"
#include "device/device.h"
#include "plan/verify.h"
#include "tests/support/expect_error.h"
#include "tests/support/synthetic.h"

namespace gacer::sim {
namespace {

Recording record(const test::Synthetic& made) {
  Recording recording;
  recording.device = made.problem.device;
  recording.device.memory_bytes = 1 << 20;
  recording.is_width_fixed = made.problem.is_width_fixed;
  for (int width = 1; width <= recording.device.num_groups; ++width) {
    recording.widths.push_back(width);
  }
  recording.rows = made.rows;
  return recording;
}

/// A plan's steps with captures, as the engine would list them.
struct Compiled {
  std::vector<SimCapture> captures;
  std::vector<ProgramStep> steps;
};

Compiled compile(const test::Synthetic& made, const Plan& plan) {
  Compiled compiled;
  const StepGraph graph = make_step_graph(made.problem, plan);
  std::vector<int> position(graph.order.size());
  compiled.captures.reserve(graph.order.size());
  for (std::size_t i = 0; i < graph.order.size(); ++i) {
    position[static_cast<std::size_t>(graph.order[i])] = static_cast<int>(i);
  }
  for (const int index : graph.order) {
    const StepRef ref = graph.steps[static_cast<std::size_t>(index)];
    const Step& step = plan.step(ref);
    const ProblemNode& node = made.problem.tenants[static_cast<std::size_t>(step.tenant)]
                                  .nodes[static_cast<std::size_t>(step.node)];
    compiled.captures.emplace_back(node.signature, step.chunk.size(), step.variant, 1);
    ProgramStep added{&compiled.captures.back(), step.budget, step.priority, ref.lane, {}};
    for (const int before : graph.waits_for[static_cast<std::size_t>(index)]) {
      added.waits_for.push_back(position[static_cast<std::size_t>(before)]);
    }
    compiled.steps.push_back(added);
  }
  return compiled;
}

TEST(SimDevice, RunsAProgramInTheTimeOfTheModel) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto made = test::make_random_synthetic(seed);
    SimDevice device(record(made));
    const Plan plan = test::make_random_plan(made, seed);
    const Compiled compiled = compile(made, plan);
    const auto program = device.assemble(compiled.steps);
    const auto line = simulate(made.problem, made.rows, plan);
    ASSERT_TRUE(line.ok()) << line.reason();
    EXPECT_DOUBLE_EQ(program->run(), line->round_ms);
    EXPECT_DOUBLE_EQ(program->run(), line->round_ms);
    EXPECT_EQ(program->run_traced().size(), plan.num_steps());
    EXPECT_EQ(program->num_launches(), static_cast<int>(plan.num_steps()));
  }
}

TEST(SimDevice, FreeProgramsAndRepeatsShareTheDevice) {
  const auto made =
      test::make_synthetic(test::synthetic_device("gpu", 8), {{.nodes = 10, .batch = 1}});
  SimDevice device(record(made));
  const Plan plan = test::make_random_plan(made, 1);
  const Compiled compiled = compile(made, plan);
  const auto a = device.assemble(compiled.steps);
  const auto b = device.assemble(compiled.steps);
  Program* const one[] = {a.get()};
  Program* const both[] = {a.get(), b.get()};
  const int once[] = {1, 1};
  const int thrice[] = {3};
  const double alone = a->run();
  EXPECT_NEAR(device.run_free(one, {once, 1}), alone, 1e-9);
  EXPECT_NEAR(device.run_free(one, thrice), 3 * alone, 1e-6 + 10 * Contention{}.set_change_ms);
  const double together = device.run_free(both, once);
  EXPECT_GE(together, alone - 1e-9);
  EXPECT_LE(together, 2 * alone + 1e-9);
}

TEST(SimDevice, CountsMemoryThatIsNotThere) {
  SimDevice device(record(test::make_random_synthetic(1)));
  EXPECT_EQ(device.info().kind, "sim");
  {
    const auto first = device.allocate(1 << 19);
    const auto second = device.allocate(1 << 18);
    EXPECT_NE(first->data(), second->data());
    EXPECT_EQ(device.free_bytes(), std::size_t{1} << 18);
    testing::expect_error(ErrorKind::kOutOfMemory, "524288",
                          [&] { static_cast<void>(device.allocate(1 << 19)); });
  }
  EXPECT_EQ(device.free_bytes(), std::size_t{1} << 20);
  char bytes[4] = {1, 2, 3, 4};
  device.download(bytes, nullptr, sizeof bytes);
  EXPECT_EQ(bytes[3], 0);
}

TEST(SimDevice, UnrecordedBudgetsAreRefused) {
  auto made = test::make_synthetic(test::synthetic_device("cpu", 2), {{.nodes = 2, .batch = 1}});
  SimDevice device(record(made));
  const std::string signature = made.problem.tenants[0].nodes[0].signature;
  const SimCapture capture(signature, 1, "unheard of", 1);
  const ProgramStep step{&capture, {0, 1}, 0, 0, {}};
  EXPECT_THROW(static_cast<void>(device.assemble({&step, 1})), Error);
  const std::string known = made.rows.rows(signature, 1).front().variant;
  const SimCapture fine(signature, 1, known, 1);
  const ProgramStep outside{&fine, {0, 7}, 0, 0, {}};
  EXPECT_THROW(static_cast<void>(device.assemble({&outside, 1})), Error);
}

TEST(SimDevice, OpensByFileName) {
  const std::string path =
      (std::filesystem::temp_directory_path() / "gacer_sim_device_test.json").string();
  save_recording(record(test::make_random_synthetic(1)), path);
  EXPECT_EQ(open_device("sim:" + path)->info().kind, "sim");
  EXPECT_THROW(open_device("sim:" + path, "speed=2"), Error);
  std::filesystem::remove(path);
  EXPECT_THROW(open_device("sim:" + path), Error);
  EXPECT_THROW(open_device("sim"), Error);
}

/// Sigmoid from "x" to "y", both [2, 8] of two items.
Graph sigmoid_graph() {
  Graph graph;
  graph.batch = 2;
  const ValueId x = graph.add_input("x", DType::kF32, Shape{2, 8});
  graph.value(x).batch = BatchAxis{};
  Value y;
  y.name = "y";
  y.shape = Shape{2, 8};
  y.batch = BatchAxis{};
  Node node;
  node.op = "Sigmoid";
  node.name = "n";
  node.inputs = {x};
  node.outputs = {graph.add_value(y)};
  graph.add_node(node);
  graph.outputs = node.outputs;
  return graph;
}

TEST(SimKernels, OfferRecordedVariants) {
  Graph graph = sigmoid_graph();
  const NodeId id = 0;

  Recording recording;
  recording.device = test::synthetic_device("cpu", 2);
  recording.is_width_fixed = true;
  recording.widths = {1, 2};
  ProfileRow row;
  row.signature = op_signature(graph, id);
  row.items = 2;
  row.variant = "one/threads=1";
  row.solo_ms = 1;
  recording.rows.add(row);
  row.variant = "one/threads=2";
  row.width = 2;
  recording.rows.add(row);
  SimDevice device(recording);
  const KernelImpl& kernels = *device.kernels()[0];
  {
    const KernelCall call = make_call(graph, id, Precision::kF32);
    EXPECT_TRUE(kernels.supports(call).ok());
    EXPECT_EQ(kernels.variants(call, 1), std::vector<std::string>{"one/threads=1"});
    EXPECT_EQ(kernels.variants(call, 2), std::vector<std::string>{"one/threads=2"});
    EXPECT_NE(kernels.prepare(call, "one/threads=2"), nullptr);
    EXPECT_THROW(static_cast<void>(kernels.prepare(call, "other")), Error);
  }
  PostOp relu;
  relu.activation = Activation::kRelu;
  graph.node(id).post.push_back(relu);
  EXPECT_TRUE(kernels.variants(make_call(graph, id, Precision::kF32), 1).empty());
}

TEST(SimKernels, FindRowsOfWhatRunsWholeAndOfItsArithmetic) {
  Graph graph = sigmoid_graph();
  const NodeId id = 0;
  for (const ValueId value : {graph.inputs[0], graph.outputs[0]})
    graph.value(value).batch.reset();  // never cut

  Recording recording;
  recording.device = test::synthetic_device("cuda", 2);
  recording.widths = {1, 2};
  ProfileRow row;
  row.solo_ms = 1;
  for (const Precision precision : {Precision::kF32, Precision::kTF32}) {
    row.signature = row_signature(graph, id, precision);
    row.variant = to_string(precision);
    recording.rows.add(row);
  }
  SimDevice device(recording);
  const KernelImpl& kernels = *device.kernels()[0];
  for (const Precision precision : {Precision::kF32, Precision::kTF32}) {
    const KernelCall call = make_call(graph, id, precision);
    const std::string key = to_string(precision);
    EXPECT_EQ(kernels.variants(call, 1), std::vector<std::string>{key});
    EXPECT_NE(kernels.prepare(call, key), nullptr);
  }
}

TEST(SimKernels, SayYesToFormsOnTheWayToARecordedOne) {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::kF32, Shape{2, 8, 4, 4});
  Value y;
  y.shape = Shape{2, 8, 4, 4};
  Node node;
  node.op = "Conv";
  node.inputs = {x};
  node.outputs = {graph.add_value(y)};
  const NodeId id = graph.add_node(node);

  Recording recording;
  recording.device = test::synthetic_device("cpu", 2);
  recording.widths = {1, 2};
  recording.forms = {"Conv@blocked8[2, 8, 4, 4]+mul+relu", "Conv@blocked16[2, 8, 2, 2]+relu",
                     "MaxPool@row_major[2, 8, 8, 8]"};
  SimDevice device(recording);
  const auto supports = [&](std::vector<PostOp> post, Layout layout, const char* op) {
    graph.node(id).post = std::move(post);
    graph.node(id).op = op;
    graph.value(graph.node(id).outputs[0]).layout = layout;
    return device.kernels()[0]->supports(make_call(graph, id, Precision::kF32)).ok();
  };
  PostOp mul;
  mul.kind = PostOp::Kind::kMul;
  mul.input = 0;
  PostOp relu;
  relu.activation = Activation::kRelu;
  EXPECT_TRUE(supports({}, Layout::kRowMajor, "Conv"));
  EXPECT_TRUE(supports({mul}, Layout::kRowMajor, "Conv"));
  EXPECT_TRUE(supports({mul, relu}, Layout::kBlocked8, "Conv"));
  EXPECT_FALSE(supports({relu}, Layout::kRowMajor, "Conv"));
  EXPECT_FALSE(supports({mul, relu, relu}, Layout::kRowMajor, "Conv"));
  EXPECT_FALSE(supports({mul}, Layout::kBlocked16, "Conv"));
  EXPECT_FALSE(supports({relu}, Layout::kRowMajor, "MaxPool"));
  EXPECT_FALSE(supports({}, Layout::kBlocked8, "MaxPool"));
  EXPECT_FALSE(supports({}, Layout::kRowMajor, "Unheard"));
}

TEST(SimKernels, SayYesToFormsThatWentIntoAnotherOperator) {
  Graph graph;
  Node node;
  node.op = "Conv";
  node.inputs = {graph.add_input("x", DType::kF16, Shape{2, 2, 1, 1})};
  Value y;
  y.dtype = DType::kF16;
  y.shape = Shape{2, 8, 1, 1};
  node.outputs = {graph.add_value(y)};
  PostOp gate;
  gate.activation = Activation::kHardSigmoid;
  node.post = {gate};
  const NodeId id = graph.add_node(node);
  const auto supports = [&](std::set<std::string> forms) {
    Recording recording;
    recording.device = test::synthetic_device("cuda", 2);
    recording.widths = {1, 2};
    recording.forms = std::move(forms);
    return SimDevice(recording).kernels()[0]->supports(make_call(graph, id, Precision::kF16)).ok();
  };
  EXPECT_TRUE(supports({"Conv@channels_last[2, 8, 4, 4]+relu",
                        "SqueezeExcite@channels_last[2, 8, 1, 1]+hard_sigmoid"}));
  EXPECT_FALSE(supports({"Conv@channels_last[2, 8, 4, 4]+relu",
                         "SqueezeExcite@channels_last[2, 16, 1, 1]+hard_sigmoid"}));
  EXPECT_FALSE(supports({"Conv@channels_last[2, 8, 1, 1]+relu",
                         "SqueezeExcite@channels_last[2, 8, 1, 1]+hard_sigmoid"}));
}

TEST(SimKernels, TakeConcatsThatTheRecordedDeviceWroteInPlace) {
  Graph graph;
  Node node;
  node.op = "Concat";
  node.inputs = {graph.add_input("a", DType::kF32, Shape{2, 8, 4, 4}),
                 graph.add_input("b", DType::kF32, Shape{2, 8, 4, 4})};
  Value y;
  y.shape = Shape{2, 16, 4, 4};
  y.layout = Layout::kChannelsLast;
  node.outputs = {graph.add_value(y)};
  const NodeId id = graph.add_node(node);
  const auto supports = [&](bool concats_in_place, std::set<std::string> forms) {
    Recording recording;
    recording.device = test::synthetic_device("cuda", 2);
    recording.widths = {1, 2};
    recording.concats_in_place = concats_in_place;
    recording.forms = std::move(forms);
    const SimDevice device(recording);
    EXPECT_EQ(device.concats_in_place(), concats_in_place);
    return device.kernels()[0]->supports(make_call(graph, id, Precision::kF32)).ok();
  };
  EXPECT_TRUE(supports(true, {"Conv@channels_last"}));
  EXPECT_TRUE(supports(true, {"Concat@row_major[2, 8, 2, 2]"}));
  EXPECT_FALSE(supports(true, {"Concat@row_major[2, 16, 4, 4]"}));
  EXPECT_FALSE(supports(false, {"Conv@channels_last"}));
  EXPECT_FALSE(supports(false, {"Concat@row_major[2, 8, 2, 2]"}));
}

TEST(SimKernels, ConvertWhereTheRecordedDeviceDid) {
  Graph graph;
  Node node;
  node.op = "Linear";
  node.inputs = {graph.add_input("x", DType::kF16, Shape{2, 8})};
  Value y;
  y.shape = Shape{2, 8};
  node.outputs = {graph.add_value(y)};
  const NodeId id = graph.add_node(node);
  const auto supports = [&](DType result, std::set<std::string> forms) {
    graph.value(graph.node(id).outputs[0]).dtype = result;
    Recording recording;
    recording.device = test::synthetic_device("cpu", 2);
    recording.widths = {1, 2};
    recording.forms = std::move(forms);
    const SimDevice device(recording);
    return device.kernels()[0]->supports(make_call(graph, id, Precision::kF16)).ok();
  };
  EXPECT_TRUE(supports(DType::kF16, {"Linear@row_major[2, 8]"}));
  EXPECT_FALSE(supports(DType::kF32, {"Linear@row_major[2, 8]"}));
  EXPECT_TRUE(supports(DType::kF32, {"Linear:f16>f32@row_major[2, 8]"}));
  EXPECT_TRUE(supports(DType::kF16, {"Linear:f16>f32@row_major[2, 8]"}));
  EXPECT_FALSE(supports(DType::kF32, {"Linear:bf16>f32@row_major[2, 8]"}));
}

}  // namespace
}  // namespace gacer::sim
