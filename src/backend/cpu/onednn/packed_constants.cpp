#include "backend/cpu/onednn/packed_constants.h"

#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <utility>

#include <xxhash.h>

#include "backend/cpu/openmp_hooks.h"
#include "base/error.h"

namespace gacer::cpu {
namespace {

class KeptTensor final : public PackedConstant {
 public:
  explicit KeptTensor(Tensor tensor) : tensor_(std::move(tensor)) {}
  const void* data() const override { return tensor_.bytes(); }

 private:
  Tensor tensor_;
};

class PackedBytes final : public PackedConstant {
 public:
  explicit PackedBytes(std::size_t size)
      : bytes_(static_cast<std::byte*>(::operator new (size, std::align_val_t{kAlignment}))) {}
  ~PackedBytes() override { ::operator delete (bytes_, std::align_val_t{kAlignment}); }
  PackedBytes(const PackedBytes&) = delete;
  PackedBytes& operator=(const PackedBytes&) = delete;
  const void* data() const override { return bytes_; }
  void* mutable_data() { return bytes_; }

 private:
  static constexpr std::size_t kAlignment = 4096;
  std::byte* bytes_;
};

/// What the bytes are and how they lie afterwards.
struct Key {
  XXH128_hash_t content;
  memory::desc to;
  bool operator<(const Key& other) const {
    return std::pair(content.low64, content.high64) <
           std::pair(other.content.low64, other.content.high64);
  }
};

/// Hashing large weights for every variant would cost more than packing them: a tensor that is
/// known to be the same object keeps its hash.
class ContentHashes {
 public:
  XXH128_hash_t of(const Tensor& tensor) {
    const Place place{tensor.owner(), tensor.bytes(), tensor.size_bytes()};
    const auto [at, is_new] = known_.try_emplace(place);
    if (is_new) {
      std::erase_if(
          known_, [&](const auto& entry) { return entry.first.owner.expired() && &entry != &*at; });
      at->second = XXH3_128bits(tensor.bytes(), tensor.size_bytes());
    }
    return at->second;
  }

 private:
  struct Place {
    /// Keeps the owner's identity from being given to another while it is in the table.
    std::weak_ptr<const void> owner;
    const std::byte* bytes;
    std::size_t size;
    bool operator<(const Place& other) const {
      if (owner.owner_before(other.owner)) return true;
      if (other.owner.owner_before(owner)) return false;
      return std::pair(bytes, size) < std::pair(other.bytes, other.size);
    }
  };
  std::map<Place, XXH128_hash_t> known_;
};

struct Cache {
  std::mutex mutex;
  ContentHashes hashes;
  std::multimap<Key, std::weak_ptr<const PackedConstant>> packed;
};

Cache& cache() {
  static Cache cache;
  return cache;
}

}  // namespace

std::shared_ptr<const PackedConstant> keep_constant(const Tensor& tensor) {
  return std::make_shared<KeptTensor>(tensor);
}

std::shared_ptr<const PackedConstant> pack_constant(const Tensor& tensor, const memory::desc& from,
                                                    const memory::desc& to) {
  if (from == to) return keep_constant(tensor);
  require(from.get_size() <= tensor.size_bytes(), "a constant of {} bytes is described as {}",
          tensor.size_bytes(), from.get_size());
  Cache& shared = cache();
  const std::lock_guard lock(shared.mutex);
  const Key key{shared.hashes.of(tensor), to};
  std::erase_if(shared.packed, [](const auto& entry) { return entry.second.expired(); });
  const auto [begin, end] = shared.packed.equal_range(key);
  for (auto entry = begin; entry != end; ++entry)
    if (entry->first.to == to)
      if (auto known = entry->second.lock()) return known;
  const ThreadCountScope serial(1);
  auto packed = std::make_shared<PackedBytes>(to.get_size());
  const memory source(from, onednn_engine(), const_cast<std::byte*>(tensor.bytes()));
  const memory target(to, onednn_engine(), packed->mutable_data());
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const dnnl::reorder::primitive_desc desc(source, target, attributes);
  const PackedBytes scratchpad(desc.scratchpad_desc().get_size() + 1);
  dnnl::reorder(desc).execute(
      onednn_stream(), {{DNNL_ARG_FROM, source},
                        {DNNL_ARG_TO, target},
                        {DNNL_ARG_SCRATCHPAD, memory(desc.scratchpad_desc(), onednn_engine(),
                                                     const_cast<void*>(scratchpad.data()))}});
  shared.packed.emplace(key, packed);
  return packed;
}

}  // namespace gacer::cpu
