// Squeeze-and-excite in three launches: a pool and two convolutions of a single position, each by a
// kernel for that operator, with what lies between them in the workspace. Beside the kernel that
// does it all at once (squeeze_excite.cpp): with large weights many blocks read them faster than
// the few that share an image.

#include <algorithm>
#include <array>
#include <map>

#include "backend/cuda/capture.h"
#include "backend/cuda/kernel_list.h"
#include "backend/cuda/services.h"

namespace gacer::cuda {
namespace {

constexpr std::string_view kFamily = "parts+";
constexpr char kSeparator = '+';
enum Part { kPool, kFirst, kSecond, kNumParts };
enum Input { kImage, kWeight1, kBias1, kWeight2, kBias2 };

std::size_t dense_bytes(const OperandDesc& desc) {
  return align_part(static_cast<std::size_t>(desc.shape.num_elements()) * size_of(desc.dtype));
}

/// The three operators' calls; mean and hidden vector are dense.
class InnerCalls {
 public:
  explicit InnerCalls(const KernelCall& call)
      : nodes_(make_nodes(call.node)),
        mean_(one_position(call.inputs[kImage], call.inputs[kWeight1].shape[1])),
        hidden_(one_position(call.inputs[kImage], call.inputs[kWeight1].shape[0])),
        calls_{
            KernelCall{call.graph, nodes_[kPool], call.precision, {call.inputs[kImage]}, {mean_}},
            product_call(call, kFirst, mean_, kWeight1, hidden_),
            product_call(call, kSecond, hidden_, kWeight2, call.outputs[0])} {}
  InnerCalls(const InnerCalls&) = delete;
  InnerCalls& operator=(const InnerCalls&) = delete;

  const KernelCall& operator[](std::size_t part) const { return calls_[part]; }
  std::size_t mean_bytes() const { return dense_bytes(mean_); }
  std::size_t hidden_bytes() const { return dense_bytes(hidden_); }

 private:
  static OperandDesc one_position(const OperandDesc& image, std::int64_t channels) {
    OperandDesc desc = image;
    std::vector<std::int64_t> dims(static_cast<std::size_t>(image.shape.rank()), 1);
    dims[0] = image.shape[0];
    dims[1] = channels;
    desc.shape = Shape(std::move(dims));
    desc.strides.clear();
    return desc;
  }

  static std::array<Node, kNumParts> make_nodes(const Node& fused) {
    std::array<Node, kNumParts> nodes;
    nodes[kPool].op = "GlobalAveragePool";
    nodes[kPool].inputs = {fused.inputs[kImage]};
    for (const auto& [part, weight] : {std::pair(kFirst, kWeight1), std::pair(kSecond, kWeight2)}) {
      const auto at = static_cast<std::size_t>(weight);
      nodes[part].op = "Conv";
      // Kernels know constants by their values; the first operand is none of the graph's.
      nodes[part].inputs = {fused.inputs[kImage], fused.inputs[at], fused.inputs[at + 1]};
    }
    for (Node& node : nodes) {
      node.name = fused.name;
      node.outputs = fused.outputs;
      node.num_op_inputs = static_cast<int>(node.inputs.size());
    }
    const Attributes& attributes = fused.attributes;
    const auto activation = parse_activation(attributes.get_string("activation", "identity"));
    require(activation.has_value(), "'{}' has an unknown activation", fused.name);
    if (*activation != Activation::kIdentity) {
      PostOp post;
      post.activation = *activation;
      post.alpha = attributes.get_float("alpha", 0);
      post.beta = attributes.get_float("beta", 0);
      nodes[kFirst].post = {post};
    }
    nodes[kSecond].post = fused.post;
    return nodes;
  }

  KernelCall product_call(const KernelCall& call, Part part, const OperandDesc& from, int weight,
                          const OperandDesc& to) const {
    const auto at = static_cast<std::size_t>(weight);
    return {call.graph,
            nodes_[part],
            call.precision,
            {from, call.inputs[at], call.inputs[at + 1]},
            {to}};
  }

  std::array<Node, kNumParts> nodes_;
  OperandDesc mean_;
  OperandDesc hidden_;
  std::array<KernelCall, kNumParts> calls_;
};

class PartsKernel final : public Kernel {
 public:
  PartsKernel(const InnerCalls& calls, std::array<std::unique_ptr<Kernel>, kNumParts> parts)
      : parts_(std::move(parts)),
        mean_bytes_(calls.mean_bytes()),
        hidden_bytes_(calls.hidden_bytes()) {}
  std::size_t workspace_bytes() const override {
    std::size_t most = 0;
    for (const auto& part : parts_) most = std::max(most, part->workspace_bytes());
    return mean_bytes_ + hidden_bytes_ + most;
  }
  bool reads_input(int input) const override {
    if (input == kImage) return true;
    const int part = input < kWeight2 ? kFirst : kSecond;
    return parts_[static_cast<std::size_t>(part)]->reads_input(part == kFirst ? input : input - 2);
  }
  void record(const Bindings& bindings, Recorder& recorder) const override {
    auto* const mean = static_cast<std::byte*>(bindings.workspace);
    std::byte* const hidden = mean + mean_bytes_;
    std::byte* const rest = hidden + hidden_bytes_;
    const std::vector<void*>& in = bindings.inputs;
    const auto record_part = [&](Part part, std::vector<void*> inputs, void* output) {
      const Kernel& kernel = *parts_[part];
      kernel.record({std::move(inputs), {output}, kernel.workspace_bytes() > 0 ? rest : nullptr},
                    recorder);
    };
    record_part(kPool, {in[kImage]}, mean);
    record_part(kFirst, {mean, in[kWeight1], in[kBias1]}, hidden);
    record_part(kSecond, {hidden, in[kWeight2], in[kBias2]}, bindings.outputs[0]);
  }

 private:
  std::array<std::unique_ptr<Kernel>, kNumParts> parts_;
  std::size_t mean_bytes_;
  std::size_t hidden_bytes_;
};

class SqueezeExciteParts final : public KernelImpl {
 public:
  SqueezeExciteParts(std::vector<const KernelImpl*> pools, std::vector<const KernelImpl*> convs)
      : impls_{std::move(pools), convs, convs} {}
  std::string_view name() const override { return "squeeze_excite_parts"; }

  Result<void> supports(const KernelCall& call) const override {
    if (call.node.op != "SqueezeExcite") return refuse("{} is no SqueezeExcite", call.node.op);
    for (int i = kWeight1; i <= kBias2; ++i)
      if (!call.inputs[static_cast<std::size_t>(i)].is_absent && call.constant(i) == nullptr)
        return refuse("input {} is computed", i);
    for (const PostOp& post : call.node.post)
      if (post.kind != PostOp::Kind::kActivation) return refuse("a post-op with an operand");
    const InnerCalls calls(call);
    for (std::size_t part = 0; part < kNumParts; ++part) {
      std::string reasons;
      if (supporters(calls[part], impls_[part], &reasons).empty())
        return refuse("{}: {}", calls[part].node.op, reasons);
    }
    return {};
  }

  /// A few guesses of the kernels that come first; the n-th ones of both convolutions together.
  std::vector<std::string> variants(const KernelCall& call, int width) const override {
    constexpr std::size_t kKernels = 2;
    constexpr std::size_t kGuesses = 2;
    const InnerCalls calls(call);
    const auto guesses = [&](Part part) {
      std::vector<std::string> keys;
      std::vector<const KernelImpl*> impls = supporters(calls[part], impls_[part], nullptr);
      impls.resize(std::min(impls.size(), kKernels));
      for (const KernelImpl* impl : impls) {
        const std::vector<std::string> own = impl->variants(calls[part], width);
        const std::size_t count = std::min(own.size(), kGuesses);
        keys.insert(keys.end(), own.begin(), own.begin() + static_cast<std::ptrdiff_t>(count));
      }
      return keys;
    };
    const std::array<std::vector<std::string>, kNumParts> keys = {guesses(kPool), guesses(kFirst),
                                                                  guesses(kSecond)};
    for (const std::vector<std::string>& own : keys)
      if (own.empty()) return {};
    const std::size_t most = std::max(keys[kFirst].size(), keys[kSecond].size());
    std::vector<std::string> all;
    for (std::size_t i = 0; i < most; ++i)
      all.push_back(fmt::format("{}{}{}{}{}{}", kFamily, keys[kPool][0], kSeparator,
                                keys[kFirst][std::min(i, keys[kFirst].size() - 1)], kSeparator,
                                keys[kSecond][std::min(i, keys[kSecond].size() - 1)]));
    return all;
  }

  std::optional<bool> knows(const std::string& key) const override {
    return find_parts(key).has_value();
  }

  void prepare_ahead(const KernelCall& call, const std::vector<std::string>& keys) const override {
    const InnerCalls calls(call);
    std::map<std::pair<std::size_t, const KernelImpl*>, std::vector<std::string>> wanted;
    for (const std::string& key : keys)
      if (const auto parts = find_parts(key))
        for (std::size_t part = 0; part < kNumParts; ++part)
          wanted[{part, (*parts)[part].impl}].push_back((*parts)[part].key);
    for (auto& [at, own] : wanted) at.second->prepare_ahead(calls[at.first], own);
  }

  std::unique_ptr<Kernel> prepare(const KernelCall& call, const std::string& key) const override {
    const auto parts = find_parts(key);
    if (!parts) fail(ErrorKind::kUnsupported, "'{}' is no variant of this node", key);
    const InnerCalls calls(call);
    std::array<std::unique_ptr<Kernel>, kNumParts> kernels;
    for (std::size_t part = 0; part < kNumParts; ++part) {
      const auto& [impl, own] = (*parts)[part];
      if (const auto supported = impl->supports(calls[part]); !supported)
        fail(ErrorKind::kUnsupported, "'{}': {}", own, supported.reason());
      kernels[part] = impl->prepare(calls[part], own);
    }
    return std::make_unique<PartsKernel>(calls, std::move(kernels));
  }

 private:
  struct PartKey {
    const KernelImpl* impl = nullptr;
    std::string key;
  };

  static std::vector<const KernelImpl*> supporters(const KernelCall& call,
                                                   const std::vector<const KernelImpl*>& impls,
                                                   std::string* reasons) {
    std::vector<const KernelImpl*> found;
    for (const KernelImpl* impl : impls) {
      const Result<void> supported = impl->supports(call);
      if (supported)
        found.push_back(impl);
      else if (reasons != nullptr)
        *reasons +=
            fmt::format("{}{}: {}", reasons->empty() ? "" : "; ", impl->name(), supported.reason());
    }
    return found;
  }

  /// Whose keys a key is made of; nothing if it is not one of these.
  std::optional<std::array<PartKey, kNumParts>> find_parts(std::string_view key) const {
    if (!key.starts_with(kFamily)) return std::nullopt;
    key.remove_prefix(kFamily.size());
    std::array<PartKey, kNumParts> parts;
    for (std::size_t part = 0; part < kNumParts; ++part) {
      const bool is_last = part + 1 == kNumParts;
      const std::size_t end = is_last ? key.size() : key.find(kSeparator);
      if (end == std::string_view::npos) return std::nullopt;
      parts[part].key = key.substr(0, end);
      key.remove_prefix(is_last ? end : end + 1);
      for (const KernelImpl* impl : impls_[part])
        if (parts[part].impl == nullptr && impl->knows(parts[part].key) == true)
          parts[part].impl = impl;
      if (parts[part].impl == nullptr) return std::nullopt;
    }
    return parts;
  }

  std::array<std::vector<const KernelImpl*>, kNumParts> impls_;
};

}  // namespace

std::unique_ptr<KernelImpl> make_squeeze_excite_parts(std::vector<const KernelImpl*> pools,
                                                      std::vector<const KernelImpl*> convolutions) {
  return std::make_unique<SqueezeExciteParts>(std::move(pools), std::move(convolutions));
}

}  // namespace gacer::cuda
