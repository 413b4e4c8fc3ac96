#include <cmath>
#include <numbers>
#include <numeric>

#include <fmt/format.h>

#include "zoo/transformer.h"
#include "zoo/zoo.h"

namespace gacer {
namespace {

constexpr TransformerSizes kSizes;
constexpr std::int64_t kVocabulary = 50257;
constexpr std::int64_t kContext = 1024;
constexpr float kEpsilon = 1e-5F;

// True where a token may look: at itself and before.
ValueId causal_mask(NetBuilder& net) {
  Tensor mask(DType::kBool, {1, 1, kSizes.tokens, kSizes.tokens});
  const std::span<bool> cells = mask.mutable_data<bool>();
  for (std::int64_t i = 0; i < kSizes.tokens; ++i)
    for (std::int64_t j = 0; j < kSizes.tokens; ++j)
      cells[static_cast<std::size_t>(i * kSizes.tokens + j)] = j <= i;
  return net.constant("causal_mask", std::move(mask));
}

// The tanh form, spelled out as exporters do.
ValueId gelu_tanh(NetBuilder& net, const std::string& name, ValueId x) {
  const auto number = [&](const char* what, float value) {
    return net.number(fmt::format("{}.{}", name, what), value);
  };
  const float root = std::sqrt(2.0F * std::numbers::inv_pi_v<float>);
  ValueId y = net.op("Pow", name + ".cube", {x, number("three", 3.0F)});
  y = net.op("Mul", name + ".scaled_cube", {y, number("c", 0.044715F)});
  y = net.op("Add", name + ".inner", {x, y});
  y = net.op("Mul", name + ".scaled", {y, number("root", root)});
  y = net.op("Tanh", name + ".tanh", {y});
  y = net.op("Add", name + ".plus_one", {y, number("one", 1.0F)});
  const ValueId half = net.op("Mul", name + ".half_x", {x, number("half", 0.5F)});
  return net.op("Mul", name, {half, y});
}

ValueId decoder_layer(NetBuilder& net, const std::string& name, ValueId x, ValueId mask,
                      ValueId lowest) {
  // As published: what a layer adds to the residual is scaled down by the number of additions.
  const double branch_gain = 1.0 / static_cast<double>(2 * kSizes.layers);
  ValueId y = layer_norm(net, name + ".ln_1", x, kEpsilon);
  y = dense(net, name + ".attn.c_attn", y, 3 * kSizes.width);
  const ValueId sizes = net.ints(name + ".attn.sizes", {kSizes.width, kSizes.width, kSizes.width});
  const std::vector<ValueId> qkv = net.op_with_outputs("Split", name + ".attn.split", {y, sizes}, 3,
                                                       attrs({{"axis", std::int64_t{2}}}));
  const ValueId q = split_heads(net, name + ".attn.query", qkv[0], kSizes);
  const ValueId k = split_heads(net, name + ".attn.key", qkv[1], kSizes);
  const ValueId v = split_heads(net, name + ".attn.value", qkv[2], kSizes);
  y = attention(net, name + ".attn", q, k, v, kSizes, [&](ValueId scores) {
    return net.op("Where", name + ".attn.masked", {mask, scores, lowest});
  });
  y = dense(net, name + ".attn.c_proj", y, kSizes.width, branch_gain);
  x = net.op("Add", name + ".attn.add", {y, x});
  y = layer_norm(net, name + ".ln_2", x, kEpsilon);
  y = dense(net, name + ".mlp.c_fc", y, 4 * kSizes.width);
  y = gelu_tanh(net, name + ".mlp.act", y);
  y = dense(net, name + ".mlp.c_proj", y, kSizes.width, branch_gain);
  return net.op("Add", name + ".mlp.add", {x, y});
}

Graph build(std::int64_t batch, std::uint64_t seed) {
  NetBuilder net("gpt2", batch, seed);
  const ValueId ids = net.input("input_ids", DType::kI64, {kSizes.tokens});
  const ValueId words =
      net.parameter("transformer.wte.weight", {kVocabulary, kSizes.width}, {0, 0.1});
  const ValueId places =
      net.parameter("transformer.wpe.weight", {kContext, kSizes.width}, {0, 0.08});
  std::vector<std::int64_t> positions(static_cast<std::size_t>(kSizes.tokens));
  std::iota(positions.begin(), positions.end(), 0);
  const ValueId position_ids = net.constant(
      "position_ids",
      Tensor::from<std::int64_t>({1, kSizes.tokens}, std::span<const std::int64_t>(positions)));
  ValueId x = net.op("Add", "transformer.embeddings",
                     {embedding(net, "transformer.wte", words, ids),
                      embedding(net, "transformer.wpe", places, position_ids)});
  const ValueId mask = causal_mask(net);
  const ValueId lowest = net.number("lowest", -3.4028235e38F);
  for (std::int64_t layer = 0; layer < kSizes.layers; ++layer)
    x = decoder_layer(net, fmt::format("transformer.h.{}", layer), x, mask, lowest);
  x = layer_norm(net, "transformer.ln_f", x, kEpsilon);
  // The head is tied to the word embeddings [vocabulary, width]: read as they lie, not transposed.
  x = net.op("Reshape", "lm_head.rows", {x, net.ints("lm_head.rows.shape", {-1, kSizes.width})});
  x = net.op("Gemm", "lm_head", {x, words}, attrs({{"transB", std::int64_t{1}}}));
  x = net.op("Reshape", "lm_head.logits",
             {x, net.ints("lm_head.logits.shape", {-1, kSizes.tokens, kVocabulary})});
  return net.finish({{"logits", x}});
}

}  // namespace

const ZooModel& zoo_gpt2() {
  static const ZooModel kModel{.name = "gpt2",
                               .summary = "GPT-2 (124M), 128 tokens, tied head",
                               .num_parameters = 124'439'808,
                               .build = build};
  return kModel;
}

}  // namespace gacer
