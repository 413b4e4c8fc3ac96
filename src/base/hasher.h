#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace gacer {

/// The finish of splitmix64: neighbouring numbers get far from each other.
constexpr std::uint64_t mix_bits(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

/// Multiply-and-rotate over 64-bit words with a splitmix64 finish. Depends on nothing but what is
/// added, in order.
class Hasher {
 public:
  void add(std::uint64_t word) {
    state_ ^= mix_bits(word + 0x9e3779b97f4a7c15ULL * ++count_);
    state_ = std::rotl(state_, 27) * 0x3c79ac492ba7b653ULL;
  }
  void add(std::int64_t word) { add(static_cast<std::uint64_t>(word)); }
  void add(int word) { add(static_cast<std::int64_t>(word)); }
  void add(bool word) { add(static_cast<std::uint64_t>(word)); }
  void add(float value) { add(static_cast<std::uint64_t>(std::bit_cast<std::uint32_t>(value))); }
  void add(std::string_view text) { add_bytes(text.data(), text.size()); }
  void add_bytes(const void* bytes, std::size_t size) {
    add(static_cast<std::uint64_t>(size));
    const char* at = static_cast<const char*>(bytes);
    for (; size >= 8; size -= 8, at += 8) add_word(at, 8);
    if (size > 0) add_word(at, size);
  }
  std::uint64_t value() const { return mix_bits(state_ + count_); }
  std::string hex() const { return fmt::format("{:016x}", value()); }

 private:
  void add_word(const char* at, std::size_t size) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, size);
    add(word);
  }

  std::uint64_t state_ = 0x243f6a8885a308d3ULL;
  std::uint64_t count_ = 0;
};

}  // namespace gacer
