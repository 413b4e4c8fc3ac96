#include "zoo/weights.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <tuple>
#include <vector>

#include "base/hasher.h"

namespace gacer {
namespace {

constexpr std::int64_t kMinSharedElements = 1 << 14;
constexpr std::int64_t kMinParallelElements = 1 << 18;

std::uint64_t hash_text(std::string_view text, std::uint64_t seed) {
  std::uint64_t hash = mix_bits(seed + 0x9e3779b97f4a7c15u);
  for (const char c : text) hash = mix_bits(hash ^ static_cast<unsigned char>(c));
  return hash;
}

// Sum of two 16-bit uniform numbers, minus its mean.
float triangular(std::uint64_t bits) {
  const auto sum =
      static_cast<std::int32_t>(bits & 0xffffu) + static_cast<std::int32_t>((bits >> 16) & 0xffffu);
  return static_cast<float>(sum - 0xffff);
}

// Elements [2*begin, 2*end): one hash makes two of them.
void fill_pairs(std::span<float> out, std::uint64_t key, float mean, float scale,
                std::int64_t begin, std::int64_t end) {
  constexpr std::uint64_t kStep = 0x9e3779b97f4a7c15u;
  for (std::int64_t i = begin; i < end; ++i) {
    const std::uint64_t bits = mix_bits(key + static_cast<std::uint64_t>(i) * kStep);
    const auto at = static_cast<std::size_t>(2 * i);
    out[at] = mean + scale * triangular(bits);
    out[at + 1] = mean + scale * triangular(bits >> 32);
  }
}

void fill(std::span<float> out, std::uint64_t key, Distribution distribution) {
  // The variance of the sum of two uniforms of width w is w^2/6.
  const auto scale = static_cast<float>(distribution.deviation * std::sqrt(6.0) / 65536.0);
  const auto mean = static_cast<float>(distribution.mean);
  const auto count = static_cast<std::int64_t>(out.size());
  const std::int64_t pairs = count / 2;
  if (count < kMinParallelElements) {
    fill_pairs(out, key, mean, scale, 0, pairs);
  } else {
    const std::int64_t size = std::clamp<std::int64_t>(std::thread::hardware_concurrency(), 1, 16);
    std::vector<std::jthread> team;
    for (std::int64_t member = 0; member < size; ++member)
      team.emplace_back([=] {
        fill_pairs(out, key, mean, scale, pairs * member / size, pairs * (member + 1) / size);
      });
  }
  if (count % 2 != 0) {
    float last[2];
    fill_pairs(std::span(last), key + static_cast<std::uint64_t>(pairs), mean, scale, 0, 1);
    out.back() = last[0];
  }
}

/// Weights that live somewhere in the process.
class SharedWeights {
 public:
  using Key = std::tuple<std::string, std::string, std::uint64_t, std::vector<std::int64_t>, double,
                         double>;

  template <typename Make>
  Tensor get(const Key& key, Make&& make) {
    const std::scoped_lock lock(mutex_);
    std::weak_ptr<const Tensor>& known = weights_[key];
    std::shared_ptr<const Tensor> weight = known.lock();
    if (weight == nullptr) {
      weight = std::make_shared<const Tensor>(make());
      known = weight;
      std::erase_if(weights_, [](const auto& entry) { return entry.second.expired(); });
    }
    return Tensor(weight->dtype(), weight->shape(), weight, weight->bytes());
  }

 private:
  std::mutex mutex_;
  std::map<Key, std::weak_ptr<const Tensor>> weights_;
};

SharedWeights& shared_weights() {
  static SharedWeights weights;
  return weights;
}

}  // namespace

Tensor make_weight(std::string_view model, std::string_view name, std::uint64_t seed, Shape shape,
                   Distribution distribution) {
  const auto make = [&] {
    Tensor tensor(DType::kF32, shape);
    fill(tensor.mutable_data<float>(), hash_text(name, hash_text(model, seed)), distribution);
    return tensor;
  };
  if (shape.num_elements() < kMinSharedElements) return make();
  return shared_weights().get({std::string(model), std::string(name), seed, shape.dims(),
                               distribution.mean, distribution.deviation},
                              make);
}

}  // namespace gacer
