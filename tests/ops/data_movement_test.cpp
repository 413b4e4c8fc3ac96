#include <algorithm>
#include <numeric>

#include "tests/ops/op_runner.h"
#include "tests/support/expect_error.h"

namespace gacer::testing {
namespace {

const std::int64_t kOne = 1;
using Floats = std::vector<float>;

/// Position of a multi-index, row-major.
std::int64_t position_of(const Shape& shape, const Ints& index) {
  std::int64_t position = 0;
  for (int axis = 0; axis < shape.rank(); ++axis)
    position = position * shape[axis] + index[static_cast<std::size_t>(axis)];
  return position;
}

Ints index_of(const Shape& shape, std::int64_t position) {
  Ints index(static_cast<std::size_t>(shape.rank()));
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    index[static_cast<std::size_t>(axis)] = position % shape[axis];
    position /= shape[axis];
  }
  return index;
}

template <typename Source>
void expect_moved(const Tensor& from, const Tensor& to, const Source& source, const char* what) {
  for (std::int64_t i = 0; i < to.num_elements(); ++i) {
    const std::int64_t at = position_of(from.shape(), source(index_of(to.shape(), i)));
    ASSERT_EQ(to.data<float>()[static_cast<std::size_t>(i)],
              from.data<float>()[static_cast<std::size_t>(at)])
        << what << " " << from.shape().to_string() << " to " << to.shape().to_string() << " at "
        << i;
  }
}

// ---- shapes ----------------------------------------------------------------------------------

Shape reshaped(Shape from, Ints target, std::int64_t allowzero = 0) {
  return run_op("Reshape", {variable(iota(std::move(from))), constant(ints(std::move(target)))},
                attrs({{"allowzero", allowzero}}))[0]
      .shape();
}

TEST(Reshape, KeepsInfersAndAllowsZero) {
  EXPECT_EQ(reshaped(Shape{2, 3, 4}, {0, -1}), (Shape{2, 12}));
  EXPECT_EQ(reshaped(Shape{2, 3, 4}, {4, 0, -1}), (Shape{4, 3, 2}));
  EXPECT_EQ(reshaped(Shape{1}, {}), (Shape{}));
  EXPECT_EQ(reshaped(Shape{0, 3}, {3, 0}, 1), (Shape{3, 0}));
  expect_error(ErrorKind::kModel, "[5, -1]", [] { reshaped(Shape{2, 3}, {5, -1}); });
  expect_error(ErrorKind::kModel, "more than one -1", [] { reshaped(Shape{2, 3}, {-1, -1}); });
  expect_error(ErrorKind::kModel, "does not have", [] { reshaped(Shape{6}, {2, 0}); });
  const Tensor old =
      run_op("Reshape", {variable(iota(Shape{2, 3}))}, attrs({{"shape", Ints{3, 2}}}), 1,
             /*opset=*/4)[0];
  EXPECT_EQ(old.shape(), (Shape{3, 2}));
  expect_error(ErrorKind::kUnsupported, "must be a constant", [] {
    run_op("Reshape", {variable(iota(Shape{2})), variable(ints({2}))});
  });
}

TEST(Reshape, FollowsTheBatchThroughAnyGrouping) {
  const auto expect_axis = [](Shape from, BatchAxis in, Ints target, BatchAxis out) {
    expect_split_is_whole(
        "Reshape",
        {batched(iota(std::move(from)), in.axis, in.factor), constant(ints(std::move(target)))}, {},
        4, out);
  };
  expect_axis(Shape{4, 6, 5}, {0, 1}, {24, 5}, {0, 6});
  expect_axis(Shape{24, 5}, {0, 6}, {4, 6, 5}, {0, 1});
  expect_axis(Shape{24, 5}, {0, 6}, {4, 2, 3, 5}, {0, 1});
  expect_axis(Shape{24, 5}, {0, 6}, {8, 15}, {0, 2});
  expect_axis(Shape{24, 5}, {0, 6}, {120}, {0, 30});
  expect_axis(Shape{1, 4, 6}, {1, 1}, {4, 3, 2}, {0, 1});
  expect_axis(Shape{4, 6}, {0, 1}, {1, 1, 4, 6}, {2, 1});
  expect_axis(Shape{3, 4, 5}, {1, 1}, {3, 20}, {1, 5});
  expect_axis(Shape{3, 20, 2}, {1, 5}, {3, 4, 10}, {1, 1});
  expect_axis(Shape{6, 4, 5}, {1, 1}, {2, 3, 4, 5}, {2, 1});
}

TEST(Reshape, FollowsABatchOfOneToTheAxisThatIsLeftOpen) {
  const auto expect_axis = [](Shape from, BatchAxis in, Ints target, BatchAxis out) {
    expect_split_is_whole(
        "Reshape",
        {batched(iota(std::move(from)), in.axis, in.factor), constant(ints(std::move(target)))}, {},
        1, out);
  };
  expect_axis(Shape{6, 5}, {0, 6}, {-1, 6, 5}, {0, 1});
  expect_axis(Shape{1, 6, 5}, {0, 1}, {0, -1}, {0, 1});
  expect_axis(Shape{1, 6, 5}, {0, 1}, {-1, 5}, {0, 6});
  expect_axis(Shape{1, 6, 5}, {0, 1}, {1, 30}, {0, 1});
}

TEST(Reshape, RefusesWhenItemsDoNotStayTogether) {
  const auto refused = [](Shape from, int axis, Ints target) {
    expect_refused("Reshape",
                   {batched(iota(std::move(from)), axis), constant(ints(std::move(target)))}, {}, 4,
                   "is not one axis");
  };
  refused(Shape{3, 4, 5}, 1, {12, 5});
  refused(Shape{4, 6}, 0, {3, 8});
  refused(Shape{4, 6}, 0, {2, 12});
}

TEST(Flatten, JoinsAxesOnBothSides) {
  const auto shape = [](std::int64_t axis) {
    return run_op("Flatten", {variable(iota(Shape{2, 3, 4}))}, attrs({{"axis", axis}}))[0].shape();
  };
  EXPECT_EQ(shape(0), (Shape{1, 24}));
  EXPECT_EQ(shape(2), (Shape{6, 4}));
  EXPECT_EQ(shape(-1), (Shape{6, 4}));
  EXPECT_EQ(shape(3), (Shape{24, 1}));
  expect_split_is_whole("Flatten", {batched(iota(Shape{4, 3, 2}))}, {}, 4, {0, 1});
}

TEST(Squeeze, RemovesGivenOrAllUnitAxes) {
  const Tensor x = iota(Shape{1, 3, 1, 2});
  EXPECT_EQ(run_op("Squeeze", {variable(x)})[0].shape(), (Shape{3, 2}));
  EXPECT_EQ(run_op("Squeeze", {variable(x), constant(ints({-2}))})[0].shape(), (Shape{1, 3, 2}));
  EXPECT_EQ(run_op("Squeeze", {variable(x)}, attrs({{"axes", Ints{0}}}), 1, 11)[0].shape(),
            (Shape{3, 1, 2}));
  expect_error(ErrorKind::kModel, "size 3", [&] {
    run_op("Squeeze", {variable(x), constant(ints({1}))});
  });
  expect_split_is_whole("Squeeze", {batched(x, 1), constant(ints({0, 2}))}, {}, 3, {0, 1});
}

TEST(Unsqueeze, AddsAxesOfTheOutput) {
  const Tensor x = iota(Shape{3, 2});
  EXPECT_EQ(run_op("Unsqueeze", {variable(x), constant(ints({0, -1}))})[0].shape(),
            (Shape{1, 3, 2, 1}));
  EXPECT_EQ(run_op("Unsqueeze", {variable(x)}, attrs({{"axes", Ints{1}}}), 1, 11)[0].shape(),
            (Shape{3, 1, 2}));
  expect_split_is_whole("Unsqueeze", {batched(x), constant(ints({0, 2}))}, {}, 3, {1, 1});
}

TEST(Dropout, IsTheIdentityWithAMaskOfOnes) {
  const Tensor x = iota(Shape{5});
  const auto y = run_op("Dropout", {variable(x)}, {}, 2);
  EXPECT_TRUE(same_bytes(y[0], x));
  EXPECT_EQ(values_of<bool>(y[1]), std::vector<bool>(5, true));
  expect_error(ErrorKind::kUnsupported, "training", [&] {
    run_op("Dropout", {variable(x), absent(), constant(Tensor::scalar(true))});
  });
  expect_error(ErrorKind::kUnsupported, "is_test=0", [&] {
    run_op("Dropout", {variable(x)}, attrs({{"ratio", 0.5f}}), 1, 6);
  });
}

// ---- transposing -----------------------------------------------------------------------------

TEST(Transpose, AgreesWithPlainIndexingForAnyPermutation) {
  std::mt19937 engine(5);
  for (int round = 0; round < 150; ++round) {
    std::vector<std::int64_t> dims;
    for (unsigned rank = engine() % 5 + 1; dims.size() < rank;)
      dims.push_back(static_cast<std::int64_t>(engine() % 5 + 1 + (engine() % 4 == 0 ? 29 : 0)));
    Ints perm(dims.size());
    std::iota(perm.begin(), perm.end(), 0);
    std::shuffle(perm.begin(), perm.end(), engine);
    const Tensor x = iota(Shape(dims));
    const Tensor y = run_op("Transpose", {variable(x)}, attrs({{"perm", perm}}))[0];
    expect_moved(
        x, y,
        [&](const Ints& out) {
          Ints in(out.size());
          for (std::size_t i = 0; i < out.size(); ++i)
            in[static_cast<std::size_t>(perm[i])] = out[i];
          return in;
        },
        "Transpose");
  }
}

TEST(Transpose, MovesElementsOfEverySize) {
  for (const std::int64_t type : {3, 10, 1, 7}) {
    const Tensor x = run_op("Cast", {variable(random_tensor(Shape{33, 70}, 1, -100, 100))},
                            attrs({{"to", type}}))[0];
    const Tensor y = run_op("Transpose", {variable(x)})[0];
    const Tensor back = run_op("Transpose", {variable(y)})[0];
    EXPECT_EQ(y.shape(), (Shape{70, 33}));
    EXPECT_TRUE(same_bytes(back, x)) << to_string(x.dtype());
    EXPECT_FALSE(std::equal(x.bytes(), x.bytes() + x.size_bytes(), y.bytes()));
  }
}

TEST(Transpose, MovesTheBatch) {
  const Tensor x = iota(Shape{4, 3, 10});
  expect_split_is_whole("Transpose", {batched(x)}, attrs({{"perm", Ints{1, 2, 0}}}), 4, {2, 1});
  expect_split_is_whole("Transpose", {batched(x)}, attrs({{"perm", Ints{0, 2, 1}}}), 4, {0, 1});
  expect_split_is_whole("Transpose", {batched(x, 2, 2)}, {}, 5, {0, 2});
  expect_error(ErrorKind::kModel, "[0, 1]", [&] {
    run_op("Transpose", {variable(x)}, attrs({{"perm", Ints{0, 1}}}));
  });
}

TEST(DepthToSpace, InvertsSpaceToDepthAndKnowsBothModes) {
  const Tensor x = iota(Shape{2, 3, 4, 6});
  const Attributes two = attrs({{"blocksize", std::int64_t{2}}});
  const Tensor deep = run_op("SpaceToDepth", {variable(x)}, two)[0];
  EXPECT_EQ(deep.shape(), (Shape{2, 12, 2, 3}));
  expect_moved(
      x, deep,
      [](const Ints& i) {
        return Ints{i[0], i[1] % 3, i[2] * 2 + i[1] / 3 / 2, i[3] * 2 + i[1] / 3 % 2};
      },
      "SpaceToDepth");
  EXPECT_TRUE(same_bytes(run_op("DepthToSpace", {variable(deep)}, two)[0], x));
  const Tensor crd =
      run_op("DepthToSpace", {variable(deep)},
             attrs({{"blocksize", std::int64_t{2}}, {"mode", std::string("CRD")}}))[0];
  expect_moved(
      deep, crd,
      [](const Ints& i) {
        return Ints{i[0], i[1] * 4 + i[2] % 2 * 2 + i[3] % 2, i[2] / 2, i[3] / 2};
      },
      "DepthToSpace");
  expect_split_is_whole("DepthToSpace", {batched(deep)}, two, 2, {0, 1});
  expect_split_is_whole("SpaceToDepth", {batched(x)}, two, 2, {0, 1});
}

// ---- joining and cutting ---------------------------------------------------------------------

TEST(Concat, InvertsSplitAlongEveryAxis) {
  const Tensor x = iota(Shape{5, 6, 7});
  for (std::int64_t axis = -3; axis < 3; ++axis) {
    const std::int64_t size = x.shape()[static_cast<int>((axis + 3) % 3)];
    const Attributes along = attrs({{"axis", axis}});
    const auto parts = run_op("Split", {variable(x), constant(ints({1, size - 3, 2}))}, along, 3);
    EXPECT_EQ(parts[1].shape()[static_cast<int>((axis + 3) % 3)], size - 3);
    const Tensor back =
        run_op("Concat", {variable(parts[0]), variable(parts[1]), variable(parts[2])}, along)[0];
    EXPECT_TRUE(same_bytes(back, x));
  }
  expect_error(ErrorKind::kModel, "[5, 6, 7]", [&] {
    run_op("Concat", {variable(x), variable(iota(Shape{5, 5, 7}))}, attrs({{"axis", kOne * 2}}));
  });
}

TEST(Concat, KeepsTheBatchUnlessJoinedAlongIt) {
  const Tensor x = iota(Shape{4, 3, 5});
  const Tensor y = iota(Shape{4, 2, 5});
  expect_split_is_whole("Concat", {batched(x), batched(y)}, attrs({{"axis", kOne}}), 4, {0, 1});
  expect_refused("Concat", {batched(x), batched(x)}, attrs({{"axis", std::int64_t{0}}}), 4,
                 "along");
  expect_refused("Concat", {batched(x), variable(y)}, attrs({{"axis", kOne}}), 4, "does not carry");
}

TEST(Split, TakesSizesFromInputAttributeOrEqualParts) {
  const Tensor x = iota(Shape{7});
  const auto uneven = run_op("Split", {variable(x)}, attrs({{"num_outputs", std::int64_t{3}}}), 3);
  EXPECT_EQ(values_of(uneven[2]), (Floats{6}));
  const auto old = run_op("Split", {variable(x)}, attrs({{"split", Ints{5, 2}}}), 2, /*opset=*/11);
  EXPECT_EQ(values_of(old[1]), (Floats{5, 6}));
  expect_error(ErrorKind::kModel, "axis of 7", [&] { run_op("Split", {variable(x)}, {}, 2); });
  expect_error(ErrorKind::kModel, "[3, 3]", [&] {
    run_op("Split", {variable(x), constant(ints({3, 3}))}, {}, 2);
  });
  expect_split_is_whole("Split", {batched(iota(Shape{4, 6})), constant(ints({1, 5}))},
                        attrs({{"axis", kOne}}), 4, {0, 1}, 2);
}

TEST(Slice, AgreesWithPlainIndexing) {
  std::mt19937 engine(11);
  for (int round = 0; round < 200; ++round) {
    const Shape shape{static_cast<std::int64_t>(engine() % 6 + 1),
                      static_cast<std::int64_t>(engine() % 20 + 1)};
    const Tensor x = iota(shape);
    Ints starts, ends, axes, steps;
    std::vector<Ints> kept(2);
    for (int axis = 0; axis < 2; ++axis) {
      const std::int64_t size = shape[axis];
      const auto any = [&] { return static_cast<std::int64_t>(engine() % 50) - 25; };
      std::int64_t start = any(), end = any(), step = any() % 4;
      if (step == 0) step = 1;
      starts.push_back(start);
      ends.push_back(end);
      axes.push_back(engine() % 2 == 0 ? axis : axis - 2);
      steps.push_back(step);
      // Indices from start by step while inside [0, size) and before end. As in Python, but for a
      // start before the first element.
      if (start < 0) start += size;
      if (end < 0) end += size;
      start = std::max<std::int64_t>(step > 0 ? start : std::min(start, size - 1), 0);
      for (std::int64_t i = start; i >= 0 && i < size && (step > 0 ? i < end : i > end); i += step)
        kept[static_cast<std::size_t>(axis)].push_back(i);
    }
    const Tensor y = run_op("Slice", {variable(x), constant(ints(starts)), constant(ints(ends)),
                                      constant(ints(axes)), constant(ints(steps))})[0];
    ASSERT_EQ(y.shape(), (Shape{static_cast<std::int64_t>(kept[0].size()),
                                static_cast<std::int64_t>(kept[1].size())}));
    expect_moved(
        x, y,
        [&](const Ints& i) {
          return Ints{kept[0][static_cast<std::size_t>(i[0])],
                      kept[1][static_cast<std::size_t>(i[1])]};
        },
        "Slice");
  }
}

TEST(Slice, TakesHugeBoundsAndOldAttributes) {
  const Tensor x = iota(Shape{2, 5});
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  constexpr auto kMin = std::numeric_limits<std::int64_t>::min();
  const auto run = [&](std::int64_t start, std::int64_t end, std::int64_t step) {
    return values_of(run_op("Slice", {variable(x), constant(ints({start})), constant(ints({end})),
                                      constant(ints({1})), constant(ints({step}))})[0]);
  };
  EXPECT_EQ(run(3, kMax, 1), (Floats{3, 4, 8, 9}));
  EXPECT_EQ(run(-1, kMin, -2), (Floats{4, 2, 0, 9, 7, 5}));
  EXPECT_EQ(run(1, kMax, kMax), (Floats{1, 6}));
  EXPECT_EQ(run(kMax, kMin, kMin), (Floats{4, 9}));
  // Unlike numpy's, a start before the first element is the first.
  EXPECT_EQ(run(-6, kMin, -1), (Floats{0, 5}));
  const Tensor old =
      run_op("Slice", {variable(x)},
             attrs({{"starts", Ints{1}}, {"ends", Ints{3}}, {"axes", Ints{1}}}), 1, 9)[0];
  EXPECT_EQ(values_of(old), (Floats{1, 2, 6, 7}));
}

TEST(Slice, KeepsTheBatchWhenAllOfItIsTaken) {
  const Tensor x = iota(Shape{4, 5});
  expect_split_is_whole(
      "Slice",
      {batched(x), constant(ints({0, 1})), constant(ints({1000, 3})), constant(ints({0, 1}))}, {},
      4, {0, 1});
  expect_split_is_whole("Slice",
                        {batched(x), constant(ints({-1})), constant(ints({-100})),
                         constant(ints({1})), constant(ints({-1}))},
                        {}, 4, {0, 1});
  expect_refused("Slice", {batched(x), constant(ints({1})), constant(ints({4}))}, {}, 4,
                 "a part of");
}

// ---- gathering and scattering ----------------------------------------------------------------

TEST(Gather, PicksAlongAnAxisAndKnowsNegativeIndices) {
  const Tensor x = iota(Shape{2, 3, 2});
  const Tensor indices = Tensor::from<std::int64_t>(Shape{2, 1}, {2, -3});
  const Tensor y = run_op("Gather", {variable(x), variable(indices)}, attrs({{"axis", kOne}}))[0];
  EXPECT_EQ(y.shape(), (Shape{2, 2, 1, 2}));
  EXPECT_EQ(values_of(y), (Floats{4, 5, 0, 1, 10, 11, 6, 7}));
  expect_error(ErrorKind::kModel, "index 2", [&] {
    run_op("Gather", {variable(x), variable(ints({2}))});
  });
}

TEST(Gather, FollowsTheBatchOfDataOrIndices) {
  const Tensor table = random_tensor(Shape{9, 9}, 1);
  const Tensor tokens =
      Tensor::from<std::int64_t>(Shape{4, 3}, {0, 8, 1, 2, 7, 3, 3, 3, -1, 5, 4, 6});
  expect_split_is_whole("Gather", {constant(table), batched(tokens)}, {}, 4, {0, 1});
  expect_split_is_whole("Gather", {constant(table), batched(tokens)}, attrs({{"axis", kOne}}), 4,
                        {1, 1});
  const Tensor x = iota(Shape{3, 4, 5});
  const Tensor pick = Tensor::from<std::int64_t>(Shape{2, 2}, {0, 2, 1, 0});
  expect_split_is_whole("Gather", {batched(x, 1), constant(pick)}, {}, 4, {2, 1});
  expect_split_is_whole("Gather", {batched(x, 1), constant(pick)}, attrs({{"axis", kOne * 2}}), 4,
                        {1, 1});
  expect_refused("Gather", {batched(x, 1), constant(pick)}, attrs({{"axis", kOne}}), 4, "axis 1");
}

TEST(GatherElements, PicksElementwise) {
  const Tensor x = floats(Shape{3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  const Tensor indices = Tensor::from<std::int64_t>(Shape{2, 3}, {1, 2, 0, 2, 0, 0});
  const Tensor y = run_op("GatherElements", {variable(x), variable(indices)})[0];
  EXPECT_EQ(values_of(y), (Floats{4, 8, 3, 7, 2, 3}));
  const Tensor own = Tensor::from<std::int64_t>(Shape{3, 2}, {0, -1, 1, 1, 2, 0});
  expect_split_is_whole("GatherElements", {batched(x), batched(own)}, attrs({{"axis", kOne}}), 3,
                        {0, 1});
  expect_split_is_whole("GatherElements", {constant(x), batched(own)},
                        attrs({{"axis", std::int64_t{0}}}), 3, {0, 1});
}

TEST(GatherND, PicksTuplesWithAndWithoutBatchDims) {
  const Tensor x = iota(Shape{2, 2, 2});
  const Tensor tuples = Tensor::from<std::int64_t>(Shape{2, 2}, {0, 1, 1, 0});
  EXPECT_EQ(values_of(run_op("GatherND", {variable(x), variable(tuples)})[0]),
            (Floats{2, 3, 4, 5}));
  const Tensor one = Tensor::from<std::int64_t>(Shape{2, 1}, {1, 0});
  const Attributes shared = attrs({{"batch_dims", kOne}});
  EXPECT_EQ(values_of(run_op("GatherND", {variable(x), variable(one)}, shared)[0]),
            (Floats{2, 3, 4, 5}));
  expect_split_is_whole("GatherND", {batched(x), batched(one)}, shared, 2, {0, 1});
  expect_split_is_whole("GatherND", {constant(x), batched(tuples)}, {}, 2, {0, 1});
  const Tensor pick = Tensor::from<std::int64_t>(Shape{3, 1}, {1, 0, 1});
  expect_split_is_whole("GatherND", {batched(iota(Shape{2, 4, 3}), 1), constant(pick)}, {}, 4,
                        {1, 1});
}

TEST(ScatterElements, WritesAndCombines) {
  const Tensor x = floats(Shape{1, 5}, {1, 2, 3, 4, 5});
  const Tensor indices = Tensor::from<std::int64_t>(Shape{1, 3}, {1, -2, 1});
  const Tensor updates = floats(Shape{1, 3}, {10, 20, 30});
  const auto run = [&](const char* reduction) {
    return values_of(run_op("ScatterElements", {variable(x), variable(indices), variable(updates)},
                            attrs({{"axis", kOne}, {"reduction", std::string(reduction)}}))[0]);
  };
  EXPECT_EQ(run("none"), (Floats{1, 30, 3, 20, 5}));
  EXPECT_EQ(run("add"), (Floats{1, 42, 3, 24, 5}));
  EXPECT_EQ(run("mul"), (Floats{1, 600, 3, 80, 5}));
  EXPECT_EQ(run("max"), (Floats{1, 30, 3, 20, 5}));
  EXPECT_EQ(run("min"), (Floats{1, 2, 3, 4, 5}));
  const Tensor renamed = run_op("Scatter", {variable(x), variable(indices), variable(updates)},
                                attrs({{"axis", kOne}}), 1, /*opset=*/9)[0];
  EXPECT_EQ(values_of(renamed), (Floats{1, 30, 3, 20, 5}));
  const Tensor data = iota(Shape{3, 4});
  const Tensor where = Tensor::from<std::int64_t>(Shape{3, 1}, {3, 0, 1});
  expect_split_is_whole("ScatterElements",
                        {batched(data), batched(where), batched(floats(Shape{3, 1}, {-1, -2, -3}))},
                        attrs({{"axis", kOne}}), 3, {0, 1});
}

TEST(ScatterND, WritesSlices) {
  const Tensor x = iota(Shape{3, 2});
  const Tensor where = Tensor::from<std::int64_t>(Shape{2, 1}, {2, 0});
  const Tensor updates = floats(Shape{2, 2}, {10, 20, 30, 40});
  EXPECT_EQ(values_of(run_op("ScatterND", {variable(x), variable(where), variable(updates)})[0]),
            (Floats{30, 40, 2, 3, 10, 20}));
  EXPECT_EQ(values_of(run_op("ScatterND", {variable(x), variable(where), variable(updates)},
                             attrs({{"reduction", std::string("add")}}))[0]),
            (Floats{30, 41, 2, 3, 14, 25}));
  expect_split_is_whole("ScatterND", {batched(x, 1), constant(where), batched(updates, 1)}, {}, 2,
                        {1, 1});
  expect_error(ErrorKind::kModel, "updates [2, 2]", [&] {
    run_op("ScatterND", {variable(iota(Shape{3, 3})), variable(where), variable(updates)});
  });
}

// ---- repeating and padding -------------------------------------------------------------------

TEST(Expand, BroadcastsBothWays) {
  const Tensor x = iota(Shape{3, 1});
  const Tensor y = run_op("Expand", {variable(x), constant(ints({2, 1, 4}))})[0];
  EXPECT_EQ(y.shape(), (Shape{2, 3, 4}));
  expect_moved(
      x, y,
      [](const Ints& i) {
        return Ints{i[1], 0};
      },
      "Expand");
  expect_split_is_whole("Expand", {batched(x), constant(ints({2, 3, 4}))}, {}, 3, {1, 1});
  expect_error(ErrorKind::kModel, "", [&] {
    run_op("Expand", {variable(x), constant(ints({2, 1}))});
  });
}

TEST(Tile, RepeatsEveryAxis) {
  const Tensor x = iota(Shape{2, 3});
  const Tensor y = run_op("Tile", {variable(x), constant(ints({2, 3}))})[0];
  expect_moved(
      x, y,
      [](const Ints& i) {
        return Ints{i[0] % 2, i[1] % 3};
      },
      "Tile");
  expect_split_is_whole("Tile", {batched(x), constant(ints({1, 3}))}, {}, 2, {0, 1});
  expect_refused("Tile", {batched(x), constant(ints({2, 1}))}, {}, 2, "repeated");
}

std::int64_t padded_index(std::int64_t i, std::int64_t size, const std::string& mode) {
  if (mode == "edge") return std::clamp<std::int64_t>(i, 0, size - 1);
  if (mode == "wrap") return ((i % size) + size) % size;
  while (i < 0 || i >= size) i = i < 0 ? -i : 2 * (size - 1) - i;
  return i;
}

TEST(Pad, AgreesWithPlainIndexingInEveryMode) {
  std::mt19937 engine(29);
  for (const std::string mode : {"constant", "reflect", "edge", "wrap"}) {
    for (int round = 0; round < 40; ++round) {
      Ints dims, pads(6);
      for (int axis = 0; axis < 3; ++axis)
        dims.push_back(static_cast<std::int64_t>(engine() % 4 + 2));
      for (auto& pad : pads) pad = static_cast<std::int64_t>(engine() % 4);
      const Tensor x = iota(Shape(dims));
      const Tensor y =
          run_op("Pad", {variable(x), constant(ints(pads)), constant(Tensor::scalar(-7.0f))},
                 attrs({{"mode", mode}}))[0];
      for (std::int64_t i = 0; i < y.num_elements(); ++i) {
        Ints index = index_of(y.shape(), i);
        bool outside = false;
        for (std::size_t axis = 0; axis < 3; ++axis) {
          index[axis] -= pads[axis];
          outside = outside || index[axis] < 0 || index[axis] >= dims[axis];
          if (mode != "constant") index[axis] = padded_index(index[axis], dims[axis], mode);
        }
        const float expected =
            mode == "constant" && outside
                ? -7.0f
                : x.data<float>()[static_cast<std::size_t>(position_of(x.shape(), index))];
        ASSERT_EQ(y.data<float>()[static_cast<std::size_t>(i)], expected) << mode;
      }
    }
  }
}

TEST(Pad, TakesAxesNegativePadsAndOldAttributes) {
  const Tensor x = iota(Shape{2, 4});
  const Tensor some =
      run_op("Pad", {variable(x), constant(ints({1, -2})), absent(), constant(ints({-1}))})[0];
  EXPECT_EQ(values_of(some), (Floats{0, 0, 1, 0, 4, 5}));
  const Attributes old = attrs({{"pads", Ints{0, 1, 0, 0}}, {"value", 9.0f}});
  EXPECT_EQ(values_of(run_op("Pad", {variable(x)}, old, 1, /*opset=*/10)[0]),
            (Floats{9, 0, 1, 2, 3, 9, 4, 5, 6, 7}));
  expect_split_is_whole("Pad", {batched(x), constant(ints({0, 1, 0, 2}))},
                        attrs({{"mode", std::string("reflect")}}), 2, {0, 1});
  expect_refused("Pad", {batched(x), constant(ints({1, 0, 0, 0}))}, {}, 2, "padded");
}

TEST(DataMovement, NumbersThatOverflowAreRefused) {
  const Tensor x = iota(Shape{1, 4, 2, 2});
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  const auto refuse = [&](const char* op, std::vector<Operand> more, Attributes attributes) {
    more.insert(more.begin(), variable(x));
    testing::expect_error(ErrorKind::kModel, "", [&] { run_op(op, more, attributes); });
  };
  refuse("Pad", {constant(ints({kMax, 0, 0, 0, kMax, 0, 0, 0}))}, {});
  refuse("DepthToSpace", {}, attrs({{"blocksize", std::int64_t{1} << 32}}));
  refuse("Tile", {constant(ints({1, kMax / 3, 1, 1}))}, {});
  refuse("Resize", {absent(), absent(), constant(ints({1, 4, kMax, 2}))}, {});
  refuse("Resize", {absent(), absent(), constant(ints({1, 4, -1, 2}))}, {});
  refuse("MaxPool", {}, attrs({{"kernel_shape", Ints{2, 2}}, {"dilations", Ints{kMax / 2, 1}}}));
  refuse("MaxPool", {}, attrs({{"kernel_shape", Ints{1, 1}}, {"pads", Ints{kMax, 0, 0, 0}}}));
  const auto least = attrs({{"k", std::numeric_limits<std::int64_t>::min()}});
  EXPECT_EQ(values_of(run_op("EyeLike", {variable(iota(Shape{2, 2}))}, least)[0]), Floats(4, 0));
}

TEST(Trilu, KeepsOneTriangle) {
  const Tensor x = floats(Shape{3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  EXPECT_EQ(values_of(run_op("Trilu", {variable(x)})[0]), (Floats{1, 2, 3, 0, 5, 6, 0, 0, 9}));
  EXPECT_EQ(values_of(run_op("Trilu", {variable(x), constant(ints({-1}))},
                             attrs({{"upper", std::int64_t{0}}}))[0]),
            (Floats{0, 0, 0, 4, 0, 0, 7, 8, 0}));
  EXPECT_EQ(values_of(run_op("Trilu", {variable(x), constant(ints({9}))})[0]), Floats(9, 0));
  const auto lower = attrs({{"upper", std::int64_t{0}}});
  const auto most = constant(ints({std::numeric_limits<std::int64_t>::max()}));
  EXPECT_EQ(values_of(run_op("Trilu", {variable(x), most}, lower)[0]), values_of(x));
  expect_split_is_whole("Trilu", {batched(iota(Shape{3, 4, 5}))}, {}, 3, {0, 1});
}

// ---- constants -------------------------------------------------------------------------------

TEST(Shape, TellsAllOrSomeAxes) {
  const Tensor x = iota(Shape{2, 3, 4});
  EXPECT_EQ(values_of<std::int64_t>(run_op("Shape", {variable(x)})[0]), (Ints{2, 3, 4}));
  EXPECT_EQ(values_of<std::int64_t>(
                run_op("Shape", {variable(x)},
                       attrs({{"start", std::int64_t{-2}}, {"end", std::int64_t{9}}}))[0]),
            (Ints{3, 4}));
  EXPECT_EQ(values_of<std::int64_t>(run_op("Size", {variable(x)})[0]), (Ints{24}));
  expect_refused("Shape", {batched(x)}, {}, 2, "whole batch");
}

TEST(Constant, TakesEveryForm) {
  EXPECT_EQ(values_of(run_op("Constant", {}, attrs({{"value", floats(Shape{2}, {1, 2})}}))[0]),
            (Floats{1, 2}));
  EXPECT_EQ(values_of(run_op("Constant", {}, attrs({{"value_float", 3.0f}}))[0]), (Floats{3}));
  EXPECT_EQ(values_of(run_op("Constant", {}, attrs({{"value_floats", Floats{3, 4}}}))[0]),
            (Floats{3, 4}));
  EXPECT_EQ(values_of<std::int64_t>(run_op("Constant", {}, attrs({{"value_int", kOne}}))[0]),
            (Ints{1}));
  const Tensor list = run_op("Constant", {}, attrs({{"value_ints", Ints{5, 6}}}))[0];
  EXPECT_EQ(values_of<std::int64_t>(list), (Ints{5, 6}));
  expect_error(ErrorKind::kUnsupported, "value_string", [] {
    run_op("Constant", {}, attrs({{"value_string", std::string("x")}}));
  });
}

TEST(ConstantOfShape, FillsWithZeroOrAValue) {
  EXPECT_EQ(values_of(run_op("ConstantOfShape", {constant(ints({3}))})[0]), (Floats{0, 0, 0}));
  const Tensor sevens =
      run_op("ConstantOfShape", {constant(ints({1, 2}))}, attrs({{"value", ints({7})}}))[0];
  EXPECT_EQ(values_of<std::int64_t>(sevens), (Ints{7, 7}));
}

TEST(Range, CountsUpAndDown) {
  const auto run = [](std::int64_t a, std::int64_t b, std::int64_t c) {
    return values_of<std::int64_t>(
        run_op("Range", {constant(Tensor::scalar(a)), constant(Tensor::scalar(b)),
                         constant(Tensor::scalar(c))})[0]);
  };
  EXPECT_EQ(run(3, 9, 3), (Ints{3, 6}));
  EXPECT_EQ(run(10, 4, -2), (Ints{10, 8, 6}));
  EXPECT_EQ(run(1, 0, 1), (Ints{}));
  expect_error(ErrorKind::kModel, "delta", [&] { run(1, 2, 0); });
}

TEST(EyeLike, PutsOnesOnADiagonal) {
  const Tensor x = iota(Shape{2, 3});
  EXPECT_EQ(values_of(run_op("EyeLike", {variable(x)}, attrs({{"k", kOne}}))[0]),
            (Floats{0, 1, 0, 0, 0, 1}));
  EXPECT_EQ(values_of<std::int32_t>(run_op("EyeLike", {variable(x)},
                                           attrs({{"k", -kOne}, {"dtype", std::int64_t{6}}}))[0]),
            (std::vector<std::int32_t>{0, 0, 0, 1, 0, 0}));
}

TEST(OneHot, WritesOnAndOffValues) {
  const Tensor indices = ints({1, -1, 7});
  const Tensor values = floats(Shape{2}, {-1, 5});
  const Tensor y = run_op("OneHot", {variable(indices), constant(ints({3})), constant(values)})[0];
  EXPECT_EQ(values_of(y), (Floats{-1, 5, -1, -1, -1, 5, -1, -1, -1}));
  expect_split_is_whole("OneHot", {batched(indices), constant(ints({3})), constant(values)},
                        attrs({{"axis", std::int64_t{0}}}), 3, {1, 1});
}

TEST(NonZero, KnowsConstantsOnly) {
  const Tensor x = floats(Shape{2, 2}, {1, 0, 0, 3});
  EXPECT_EQ(values_of<std::int64_t>(run_op("NonZero", {constant(x)})[0]), (Ints{0, 1, 0, 1}));
  expect_error(ErrorKind::kUnsupported, "must be a constant",
               [&] { run_op("NonZero", {variable(x)}); });
}

}  // namespace
}  // namespace gacer::testing
