// Whatever the bytes, reading ends with a graph or with gacer::Error.

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>

#include <gtest/gtest.h>

#include <gacer/error.h>

#include "onnx/reader.h"
#include "onnx/wire.h"
#include "tests/onnx/model_maker.h"

namespace gacer {
namespace {

using onnx_test::ModelMaker;

// Shape arithmetic, a convolution, a large tensor, an `If`.
std::string seed_model() {
  ModelMaker maker;
  maker.input("x", {"batch", 3, 8, 8})
      .floats("w", {4, 3, 3, 3}, std::vector<float>(108, 0.5F))
      .floats("b", {1024}, std::vector<float>(1024, 1.0F))
      .ints("rest", {-1})
      .ints("zero", {0})
      .output("y");
  ModelMaker::set_ints(maker.node("Conv", {"x", "w"}, {"c"}), "kernel_shape", {3, 3});
  maker.node("Relu", {"c"}, {"r"});
  maker.node("Shape", {"r"}, {"s"});
  ModelMaker::set_int(maker.node("Gather", {"s", "zero"}, {"n"}), "axis", 0);
  ModelMaker::set_int(maker.node("Concat", {"n", "rest"}, {"t"}), "axis", 0);
  maker.node("Reshape", {"r", "t"}, {"f"});
  ModelMaker::set_int(maker.node("Softmax", {"f"}, {"y"}), "axis", 1);
  maker.output("b2");
  maker.node("Neg", {"b"}, {"b2"});
  return maker.bytes();
}

// True when a graph came out.
bool survives(const std::string& bytes) {
  try {
    parse_onnx(bytes, "fuzzed.onnx", {2, {}});
    return true;
  } catch (const Error& error) {
    EXPECT_NE(error.kind(), ErrorKind::kInternal) << error.what();
    return false;
  }
}

TEST(MalformedOnnx, SeedModelIsRead) { EXPECT_TRUE(survives(seed_model())); }

TEST(MalformedOnnx, EveryTruncationIsAnError) {
  const std::string bytes = seed_model();
  int graphs = 0;
  for (std::size_t size = 0; size < bytes.size(); size += size < 1500 ? 1 : 97)
    graphs += survives(bytes.substr(0, size)) ? 1 : 0;
  EXPECT_EQ(graphs, 0);
}

TEST(MalformedOnnx, FlippedBytesNeverCrash) {
  const std::string bytes = seed_model();
  std::mt19937 random(7);
  int graphs = 0;
  constexpr int kRounds = 4000;
  for (int round = 0; round < kRounds; ++round) {
    std::string mutated = bytes;
    const int flips = 1 + static_cast<int>(random() % 4);
    for (int i = 0; i < flips; ++i)
      mutated[random() % mutated.size()] = static_cast<char>(random());
    graphs += survives(mutated) ? 1 : 0;
  }
  EXPECT_GT(graphs, 0) << "no mutation hit the weights";
  EXPECT_LT(graphs, kRounds) << "no mutation hit the structure";
}

TEST(MalformedOnnx, InsertedAndRemovedBytesNeverCrash) {
  const std::string bytes = seed_model();
  std::mt19937 random(11);
  for (int round = 0; round < 2000; ++round) {
    std::string mutated = bytes;
    const std::size_t at = random() % mutated.size();
    if (random() % 2 == 0)
      mutated.insert(at, 1 + random() % 8, static_cast<char>(random()));
    else
      mutated.erase(at, 1 + random() % 64);
    survives(mutated);
  }
}

TEST(MalformedOnnx, MutatedProtosNeverCrash) {
  // Mutations that keep the protobuf valid reach further: numbers and names inside messages.
  std::mt19937 random(13);
  onnx::ModelProto base;
  ASSERT_TRUE(base.ParseFromString(seed_model()));
  const std::int64_t numbers[] = {0,         1,        -1, 2, 7, 1 << 20, std::int64_t{1} << 40,
                                  INT64_MIN, INT64_MAX};
  const auto pick = [&] { return numbers[random() % std::size(numbers)]; };
  for (int round = 0; round < 2000; ++round) {
    onnx::ModelProto model = base;
    onnx::GraphProto& graph = *model.mutable_graph();
    onnx::NodeProto& node =
        *graph.mutable_node(static_cast<int>(random() % static_cast<unsigned>(graph.node_size())));
    onnx::TensorProto& tensor = *graph.mutable_initializer(
        static_cast<int>(random() % static_cast<unsigned>(graph.initializer_size())));
    switch (random() % 7) {
      case 0:
        if (tensor.dims_size() > 0) tensor.set_dims(0, pick());
        break;
      case 1:
        tensor.set_data_type(static_cast<int>(random() % 24));
        break;
      case 2:
        if (node.input_size() > 0) node.set_input(0, graph.node(0).output(0));
        break;
      case 3:
        if (node.attribute_size() > 0) {
          node.mutable_attribute(0)->set_i(pick());
          if (node.attribute(0).ints_size() > 0) node.mutable_attribute(0)->set_ints(0, pick());
        }
        break;
      case 4:
        node.add_input(tensor.name());
        break;
      case 5:
        model.mutable_opset_import(0)->set_version(1 + static_cast<int>(random() % 27));
        break;
      default: {
        std::string raw = tensor.raw_data();
        for (int i = 0; i < 8; ++i) raw[random() % raw.size()] = static_cast<char>(random());
        tensor.set_raw_data(raw);
      }
    }
    survives(model.SerializeAsString());
  }
}

TEST(MalformedOnnx, NestedMessagesDoNotOverflowTheStack) {
  // node > attribute > graph > node > …
  std::string bytes;
  const auto wrap = [&](std::uint32_t field) {
    std::string outer;
    append_field_head(outer, field, bytes.size());
    bytes = outer + bytes;
  };
  for (int i = 0; i < 3000; ++i) {
    wrap(6);  // AttributeProto.g
    wrap(5);  // NodeProto.attribute
    wrap(1);  // GraphProto.node
  }
  wrap(7);
  EXPECT_FALSE(survives(bytes));
}

TEST(Wire, TensorsAreDetachedAndTheRestIsKept) {
  const std::string bytes = seed_model();
  const SlimModel slim = detach_tensors(std::as_bytes(std::span(bytes.data(), bytes.size())));
  ASSERT_EQ(slim.detached.size(), 1u);
  EXPECT_EQ(slim.detached[0].size(), 4096u);
  onnx::ModelProto before;
  onnx::ModelProto after;
  ASSERT_TRUE(before.ParseFromString(bytes));
  ASSERT_TRUE(after.ParseFromString(slim.bytes));
  EXPECT_EQ(after.graph().initializer(1).external_data_size(), 1);
  onnx::TensorProto& tensor = *after.mutable_graph()->mutable_initializer(1);
  tensor.clear_external_data();
  tensor.set_raw_data(slim.detached[0].data(), slim.detached[0].size());
  EXPECT_EQ(before.SerializeAsString(), after.SerializeAsString());
}

TEST(Wire, VarintsHaveTheirSize) {
  for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{127}, std::uint64_t{128},
                                    std::uint64_t{1} << 35, ~std::uint64_t{0}}) {
    std::string out;
    append_varint(out, value);
    EXPECT_EQ(out.size(), varint_size(value));
  }
}

}  // namespace
}  // namespace gacer
