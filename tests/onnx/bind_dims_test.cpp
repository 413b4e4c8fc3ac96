#include "onnx/bind_dims.h"

#include <gmock/gmock.h>

#include <gacer/error.h>

namespace gacer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

FileDim sized(std::int64_t size) { return {size, ""}; }
FileDim named(const char* symbol) { return {-1, symbol}; }
FileDim unnamed() { return {-1, ""}; }

FileInput input(const char* name, std::vector<FileDim> dims) {
  return {name, DType::kF32, std::move(dims)};
}

std::string error_of(const std::vector<FileInput>& inputs, const ReadOptions& options,
                     ErrorKind kind) {
  try {
    bind_dims(inputs, options);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.message();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

TEST(BindDims, BatchSymbolIsBoundInAllInputs) {
  const auto bound = bind_dims({input("ids", {named("batch"), named("sequence")}),
                                input("mask", {named("batch"), named("sequence")})},
                               {8, {{"sequence", 32}}});
  EXPECT_TRUE(bound.has_batch);
  EXPECT_EQ(bound.batch, 8);
  EXPECT_EQ(bound.inputs[0].shape, Shape({8, 32}));
  EXPECT_EQ(bound.inputs[1].shape, Shape({8, 32}));
  EXPECT_EQ(bound.inputs[1].batch_axes, std::vector<int>{0});
}

TEST(BindDims, NamedBatchWinsOverOuterDimensions) {
  const auto bound =
      bind_dims({input("x", {named("time"), named("batch_size"), sized(3)})}, {4, {{"time", 7}}});
  EXPECT_EQ(bound.inputs[0].shape, Shape({7, 4, 3}));
  EXPECT_EQ(bound.inputs[0].batch_axes, std::vector<int>{1});
}

TEST(BindDims, OutermostDynamicDimensionIsTheBatch) {
  const auto bound = bind_dims(
      {input("input", {named("sequence_length"), sized(576)}), input("h", {sized(1), sized(1)})},
      {5, {}});
  EXPECT_EQ(bound.batch, 5);
  EXPECT_EQ(bound.inputs[0].shape, Shape({5, 576}));
  EXPECT_TRUE(bound.inputs[1].batch_axes.empty());
}

TEST(BindDims, ImageLettersBindDimensionsOfFourAxes) {
  const auto bound = bind_dims({input("x", {named("p.0"), sized(3), unnamed(), named("p.1")})},
                               {2, {{"H", 48}, {"W", 320}}});
  EXPECT_EQ(bound.inputs[0].shape, Shape({2, 3, 48, 320}));
}

TEST(BindDims, InputAndAxisBindOneDimension) {
  const auto bound = bind_dims({input("x.y", {unnamed(), unnamed()})}, {2, {{"x.y.1", 9}}});
  EXPECT_EQ(bound.inputs[0].shape, Shape({2, 9}));
}

TEST(BindDims, OneSymbolHasOneSize) {
  const auto bound = bind_dims(
      {input("a", {named("batch"), named("s")}), input("b", {named("batch"), named("s")})},
      {1, {{"a.1", 6}}});
  EXPECT_EQ(bound.inputs[1].shape, Shape({1, 6}));
}

TEST(BindDims, NumberedSymbolsOfOneAxisAreOneBatch) {
  const auto bound = bind_dims(
      {input("a", {named("unk__1"), sized(4)}), input("b", {named("unk__2"), sized(4)})}, {3, {}});
  EXPECT_EQ(bound.inputs[1].shape, Shape({3, 4}));
  EXPECT_EQ(bound.inputs[1].batch_axes, std::vector<int>{0});
}

TEST(BindDims, TimeMajorSequencesHaveTheBatchOnAxisOne) {
  const auto bound = bind_dims({input("x", {sized(128), unnamed(), sized(256)})}, {4, {}});
  EXPECT_EQ(bound.inputs[0].batch_axes, std::vector<int>{1});
}

TEST(BindDims, InnerDimensionsAreNeverTakenForTheBatch) {
  const auto message = error_of({input("x", {sized(1), sized(3), unnamed(), unnamed()})}, {1, {}},
                                ErrorKind::kModel);
  EXPECT_THAT(message, AllOf(HasSubstr("axis 2 of input 'x'"), HasSubstr("?H=SIZE"),
                             HasSubstr("axis 3"), HasSubstr("?x.3=SIZE")));
}

TEST(BindDims, UnboundDimensionsAreAllListed) {
  const auto message = error_of({input("x", {named("batch"), named("rows"), named("columns")})},
                                {1, {}}, ErrorKind::kModel);
  EXPECT_THAT(message, AllOf(HasSubstr("'rows'"), HasSubstr("?rows=SIZE"), HasSubstr("'columns'")));
}

TEST(BindDims, UnknownKeyListsTheKeysThereAre) {
  const auto message =
      error_of({input("x", {named("batch"), named("s")})}, {1, {{"width", 3}}}, ErrorKind::kUsage);
  EXPECT_THAT(message, AllOf(HasSubstr("'width'"), HasSubstr("batch"), HasSubstr("x.1")));
}

TEST(BindDims, FixedDimensionKeepsItsSize) {
  EXPECT_EQ(bind_dims({input("x", {unnamed(), sized(3), sized(48), sized(7)})}, {1, {{"H", 48}}})
                .inputs[0]
                .shape,
            Shape({1, 3, 48, 7}));
  EXPECT_THAT(error_of({input("x", {unnamed(), sized(3), sized(48), sized(7)})}, {1, {{"H", 32}}},
                       ErrorKind::kUsage),
              HasSubstr("fixed at 48"));
}

TEST(BindDims, BatchOfAFixedModelIsRefused) {
  EXPECT_THAT(error_of({input("x", {sized(1), sized(3)})}, {8, {}}, ErrorKind::kUsage),
              AllOf(HasSubstr("batch 8"), HasSubstr("'x' [1, 3]")));
}

TEST(BindDims, ContradictingSizesAreRefused) {
  EXPECT_THAT(
      error_of({input("x", {named("batch"), sized(3)})}, {8, {{"batch", 4}}}, ErrorKind::kUsage),
      HasSubstr("contradicts"));
  EXPECT_THAT(error_of({input("x", {named("n0"), named("s")})}, {1, {{"s", 4}, {"x.1", 5}}},
                       ErrorKind::kUsage),
              HasSubstr("already given"));
}

TEST(BindDims, SizesMustBePositive) {
  const std::vector<FileInput> inputs{input("x", {named("batch"), named("s")})};
  EXPECT_THAT(error_of(inputs, {0, {}}, ErrorKind::kUsage), HasSubstr("batch 0"));
  EXPECT_THAT(error_of(inputs, {1, {{"s", -3}}}, ErrorKind::kUsage), HasSubstr("s=-3"));
}

TEST(BindDims, OtherBatchKeepsTheRest) {
  const auto bound = bind_dims({input("x", {named("N"), sized(3)})}, {2, {}}).with_batch(6);
  EXPECT_EQ(bound.batch, 6);
  EXPECT_EQ(bound.inputs[0].shape, Shape({6, 3}));
}

}  // namespace
}  // namespace gacer
