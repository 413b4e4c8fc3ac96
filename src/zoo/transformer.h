#pragma once

#include <string>

#include "zoo/net_builder.h"

namespace gacer {

/// Sizes of a transformer and the parts that BERT and GPT-2 share, spelled as exporters spell them.
struct TransformerSizes {
  std::int64_t layers = 12;
  std::int64_t width = 768;
  std::int64_t heads = 12;
  std::int64_t tokens = 128;
};

/// x [N, S, in] times a weight [in, out], plus a bias. The weight's name ends in ".weight".
ValueId dense(NetBuilder& net, const std::string& name, ValueId x, std::int64_t features,
              double gain = 1);
ValueId layer_norm(NetBuilder& net, const std::string& name, ValueId x, float epsilon);
/// A table [rows, width] read at `ids`.
ValueId embedding(NetBuilder& net, const std::string& name, ValueId table, ValueId ids);

/// [N, S, width] to [N, heads, S, width/heads].
ValueId split_heads(NetBuilder& net, const std::string& name, ValueId x,
                    const TransformerSizes& sizes);
/// softmax(mask(q k^T / sqrt(d))) v, heads joined to [N, S, width]. `mask` takes the scores
/// [N, heads, S, S] and returns the masked ones.
template <typename Mask>
ValueId attention(NetBuilder& net, const std::string& name, ValueId q, ValueId k, ValueId v,
                  const TransformerSizes& sizes, Mask&& mask);

ValueId scaled_scores(NetBuilder& net, const std::string& name, ValueId q, ValueId k,
                      const TransformerSizes& sizes);
ValueId weigh_values(NetBuilder& net, const std::string& name, ValueId scores, ValueId v,
                     const TransformerSizes& sizes);

template <typename Mask>
ValueId attention(NetBuilder& net, const std::string& name, ValueId q, ValueId k, ValueId v,
                  const TransformerSizes& sizes, Mask&& mask) {
  return weigh_values(net, name, mask(scaled_scores(net, name, q, k, sizes)), v, sizes);
}

}  // namespace gacer
