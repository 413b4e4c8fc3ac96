#include <cmath>
#include <numbers>
#include <numeric>

#include <fmt/format.h>

#include "zoo/transformer.h"
#include "zoo/zoo.h"

namespace gacer {
namespace {

constexpr TransformerSizes kSizes;
constexpr std::int64_t kVocabulary = 30522;
constexpr std::int64_t kPositions = 512;
constexpr float kEpsilon = 1e-12F;
constexpr Distribution kEmbedding{0, 0.1};

ValueId embed(NetBuilder& net, ValueId ids, ValueId types) {
  const std::string prefix = "embeddings.";
  std::vector<std::int64_t> positions(static_cast<std::size_t>(kSizes.tokens));
  std::iota(positions.begin(), positions.end(), 0);
  const ValueId position_ids = net.constant(
      "position_ids",
      Tensor::from<std::int64_t>({1, kSizes.tokens}, std::span<const std::int64_t>(positions)));
  const auto table = [&](const char* name, std::int64_t rows) {
    return net.parameter(prefix + name + ".weight", {rows, kSizes.width}, kEmbedding);
  };
  const ValueId words =
      embedding(net, prefix + "words", table("word_embeddings", kVocabulary), ids);
  const ValueId places =
      embedding(net, prefix + "positions", table("position_embeddings", kPositions), position_ids);
  const ValueId kinds = embedding(net, prefix + "types", table("token_type_embeddings", 2), types);
  ValueId x = net.op("Add", prefix + "add_types", {words, kinds});
  x = net.op("Add", prefix + "add_positions", {x, places});
  return layer_norm(net, prefix + "LayerNorm", x, kEpsilon);
}

// [N, S] of 0 and 1 to [N, 1, 1, S] of the lowest float and 0, added to the scores.
ValueId additive_mask(NetBuilder& net, ValueId mask) {
  ValueId x = net.op("Unsqueeze", "mask.unsqueeze", {mask, net.ints("mask.axes", {1, 2})});
  x = net.op("Cast", "mask.cast", {x}, attrs({{"to", std::int64_t{1}}}));
  x = net.op("Sub", "mask.inverted", {net.number("mask.one", 1.0F), x});
  return net.op("Mul", "mask", {x, net.number("mask.lowest", -3.4028235e38F)});
}

ValueId gelu(NetBuilder& net, const std::string& name, ValueId x) {
  ValueId y =
      net.op("Div", name + ".div", {x, net.number(name + ".sqrt2", std::numbers::sqrt2_v<float>)});
  y = net.op("Erf", name + ".erf", {y});
  y = net.op("Add", name + ".add", {y, net.number(name + ".one", 1.0F)});
  y = net.op("Mul", name + ".mul", {x, y});
  return net.op("Mul", name, {y, net.number(name + ".half", 0.5F)});
}

ValueId encoder_layer(NetBuilder& net, const std::string& name, ValueId x, ValueId mask) {
  const auto head = [&](const char* which) {
    const std::string part = fmt::format("{}.attention.self.{}", name, which);
    return split_heads(net, part, dense(net, part, x, kSizes.width), kSizes);
  };
  const ValueId q = head("query");
  const ValueId k = head("key");
  const ValueId v = head("value");
  const std::string self = name + ".attention.self";
  ValueId y = attention(net, self, q, k, v, kSizes, [&](ValueId scores) {
    return net.op("Add", self + ".masked", {scores, mask});
  });
  y = dense(net, name + ".attention.output.dense", y, kSizes.width);
  x = net.op("Add", name + ".attention.output.add", {y, x});
  x = layer_norm(net, name + ".attention.output.LayerNorm", x, kEpsilon);
  y = dense(net, name + ".intermediate.dense", x, 4 * kSizes.width);
  y = gelu(net, name + ".intermediate.gelu", y);
  y = dense(net, name + ".output.dense", y, kSizes.width);
  x = net.op("Add", name + ".output.add", {y, x});
  return layer_norm(net, name + ".output.LayerNorm", x, kEpsilon);
}

Graph build(std::int64_t batch, std::uint64_t seed) {
  NetBuilder net("bert_base", batch, seed);
  const Shape tokens{kSizes.tokens};
  const ValueId ids = net.input("input_ids", DType::kI64, tokens);
  const ValueId attention_mask = net.input("attention_mask", DType::kI64, tokens);
  const ValueId types = net.input("token_type_ids", DType::kI64, tokens);
  ValueId x = embed(net, ids, types);
  const ValueId mask = additive_mask(net, attention_mask);
  for (std::int64_t layer = 0; layer < kSizes.layers; ++layer)
    x = encoder_layer(net, fmt::format("encoder.layer.{}", layer), x, mask);
  const ValueId first = net.op("Gather", "pooler.first",
                               {x, net.constant("pooler.index", Tensor::scalar<std::int64_t>(0))},
                               attrs({{"axis", std::int64_t{1}}}));
  const ValueId pooled = net.op("Tanh", "pooler.activation",
                                {net.linear("pooler.dense", first, kSizes.width, /*gain=*/1)});
  return net.finish({{"last_hidden_state", x}, {"pooler_output", pooled}});
}

}  // namespace

const ZooModel& zoo_bert_base() {
  static const ZooModel kModel{.name = "bert_base",
                               .summary = "BERT base (uncased vocabulary), 128 tokens",
                               .num_parameters = 109'482'240,
                               .build = build};
  return kModel;
}

}  // namespace gacer
