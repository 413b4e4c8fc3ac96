#include "engine/inputs.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "zoo/net_builder.h"

namespace gacer {
namespace {

Graph make_embedding(std::int64_t rows) {
  NetBuilder net("embedding", 2, 1);
  const ValueId ids = net.input("ids", DType::kI64, Shape{6});
  const ValueId mask = net.input("mask", DType::kI64, Shape{6});
  Tensor table(DType::kF32, Shape{rows, 3});
  std::fill_n(table.mutable_data<float>().begin(), rows * 3, 0.5F);
  const ValueId looked_up = net.op("Gather", "look", {net.constant("table", table), ids});
  Attributes to_float = attrs({{"to", std::int64_t{1}}});
  const ValueId cast = net.op("Cast", "cast", {mask}, to_float);
  return net.finish({{"y", looked_up}, {"z", cast}});
}

TEST(RandomInputs, IndicesStayInsideTheirTable) {
  for (const std::int64_t rows : {1, 2, 1000}) {
    const Graph graph = make_embedding(rows);
    const InputRange range = find_input_range(graph, graph.inputs[0]);
    EXPECT_EQ(range.low, 0);
    EXPECT_EQ(range.high, rows - 1);
    const Tensor ids = make_random_input(graph, graph.inputs[0], 5);
    for (const std::int64_t id : ids.data<std::int64_t>()) {
      EXPECT_GE(id, 0);
      EXPECT_LT(id, rows);
    }
  }
}

TEST(RandomInputs, IntegersWithoutATableAreOnes) {
  const Graph graph = make_embedding(9);
  const Tensor mask = make_random_input(graph, graph.inputs[1], 5);
  for (const std::int64_t x : mask.data<std::int64_t>()) EXPECT_EQ(x, 1);
}

TEST(RandomInputs, EqualSeedsGiveEqualNumbersAndOthersDiffer) {
  const InputRange range{0, 1000};
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kF64, DType::kI32}) {
    const Tensor a = make_random_tensor(dtype, Shape{100}, range, 1);
    const Tensor b = make_random_tensor(dtype, Shape{100}, range, 1);
    const Tensor c = make_random_tensor(dtype, Shape{100}, range, 2);
    EXPECT_TRUE(std::equal(a.bytes(), a.bytes() + a.size_bytes(), b.bytes()));
    EXPECT_FALSE(std::equal(a.bytes(), a.bytes() + a.size_bytes(), c.bytes()));
  }
}

TEST(RandomInputs, NumbersDoNotDependOnTheThreadsThatMakeThem) {
  for (const DType dtype : {DType::kF32, DType::kI32}) {
    const Tensor few = make_random_tensor(dtype, Shape{1000}, {0, 1000}, 1);
    const Tensor many = make_random_tensor(dtype, Shape{1 << 20}, {0, 1000}, 1);
    EXPECT_TRUE(std::equal(few.bytes(), few.bytes() + few.size_bytes(), many.bytes()));
    const Tensor more = make_random_tensor(dtype, Shape{(1 << 20) + 1}, {0, 1000}, 1);
    EXPECT_TRUE(std::equal(many.bytes(), many.bytes() + many.size_bytes(), more.bytes()));
  }
}

TEST(RandomInputs, FloatsHaveUnitScale) {
  const Tensor tensor = make_random_tensor(DType::kF32, Shape{20000}, {}, 3);
  double sum = 0;
  double squares = 0;
  for (const float x : tensor.data<float>()) {
    ASSERT_TRUE(std::isfinite(x));
    sum += x;
    squares += static_cast<double>(x) * x;
  }
  EXPECT_NEAR(sum / 20000, 0, 0.03);
  EXPECT_NEAR(squares / 20000, 1, 0.05);
}

TEST(RandomInputs, SmallIntegersDoNotOverflow) {
  const Tensor tensor = make_random_tensor(DType::kI8, Shape{1000}, {0, 100000}, 3);
  for (const std::int8_t x : tensor.data<std::int8_t>()) EXPECT_GE(x, 0);
}

TEST(Nudge, ChangesFloatsByOneUnit) {
  const Tensor x = Tensor::from<float>(Shape{4}, {1, -8, 0, 0.25F});
  for (const auto& [precision, unit] :
       {std::pair(Precision::kF32, 0x1p-23), std::pair(Precision::kTF32, 0x1p-10),
        std::pair(Precision::kF16, 0x1p-10), std::pair(Precision::kBF16, 0x1p-7)}) {
    const Tensor y = nudge(x, precision, 3);
    for (std::size_t i = 0; i < 4; ++i) {
      const double size = std::abs(static_cast<double>(x.data<float>()[i]));
      EXPECT_DOUBLE_EQ(std::abs(static_cast<double>(y.data<float>()[i]) - x.data<float>()[i]),
                       size * unit);
    }
  }
  const Tensor ids = Tensor::from<std::int64_t>(Shape{2}, {7, 9});
  EXPECT_EQ(nudge(ids, Precision::kF16, 3).data<std::int64_t>()[1], 9);
}

}  // namespace
}  // namespace gacer
