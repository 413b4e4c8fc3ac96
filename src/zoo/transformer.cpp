#include "zoo/transformer.h"

#include <cmath>

namespace gacer {

using Ints = std::vector<std::int64_t>;

ValueId dense(NetBuilder& net, const std::string& name, ValueId x, std::int64_t features,
              double gain) {
  const std::int64_t fan_in = net.shape(x)[2];
  const ValueId weight = net.parameter(name + ".weight", {fan_in, features},
                                       {0, std::sqrt(gain / static_cast<double>(fan_in))});
  const ValueId y = net.op("MatMul", name + ".matmul", {x, weight});
  return net.op("Add", name, {y, net.parameter(name + ".bias", {features}, {0, 0.02})});
}

ValueId layer_norm(NetBuilder& net, const std::string& name, ValueId x, float epsilon) {
  const Shape width{net.shape(x)[2]};
  return net.op("LayerNormalization", name,
                {x, net.parameter(name + ".weight", width, {1, 0.1}),
                 net.parameter(name + ".bias", width, {0, 0.05})},
                attrs({{"axis", std::int64_t{-1}}, {"epsilon", epsilon}}));
}

ValueId embedding(NetBuilder& net, const std::string& name, ValueId table, ValueId ids) {
  return net.op("Gather", name, {table, ids}, attrs({{"axis", std::int64_t{0}}}));
}

ValueId split_heads(NetBuilder& net, const std::string& name, ValueId x,
                    const TransformerSizes& sizes) {
  // Zeros keep the batch and the tokens, whatever they are.
  const ValueId target =
      net.ints(name + ".heads.shape", {0, 0, sizes.heads, sizes.width / sizes.heads});
  x = net.op("Reshape", name + ".heads", {x, target});
  return net.op("Transpose", name + ".transpose", {x}, attrs({{"perm", Ints{0, 2, 1, 3}}}));
}

ValueId scaled_scores(NetBuilder& net, const std::string& name, ValueId q, ValueId k,
                      const TransformerSizes& sizes) {
  k = net.op("Transpose", name + ".key_transposed", {k}, attrs({{"perm", Ints{0, 1, 3, 2}}}));
  const ValueId scores = net.op("MatMul", name + ".scores", {q, k});
  const auto depth = static_cast<float>(sizes.width / sizes.heads);
  return net.op("Div", name + ".scaled", {scores, net.number(name + ".scale", std::sqrt(depth))});
}

ValueId weigh_values(NetBuilder& net, const std::string& name, ValueId scores, ValueId v,
                     const TransformerSizes& sizes) {
  const ValueId weights =
      net.op("Softmax", name + ".softmax", {scores}, attrs({{"axis", std::int64_t{-1}}}));
  ValueId y = net.op("MatMul", name + ".context", {weights, v});
  y = net.op("Transpose", name + ".context_transposed", {y}, attrs({{"perm", Ints{0, 2, 1, 3}}}));
  return net.op("Reshape", name + ".joined",
                {y, net.ints(name + ".joined.shape", {0, 0, sizes.width})});
}

}  // namespace gacer
