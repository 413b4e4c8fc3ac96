#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace gacer {

/// A serialised model whose large tensors were left where they are.
struct SlimModel {
  /// The model without the raw bytes of those tensors; each has an `external_data` entry instead,
  /// with kDetachedKey and an index into `detached`.
  std::string bytes;
  /// Views into the original bytes.
  std::vector<std::span<const std::byte>> detached;
};

inline constexpr char kDetachedKey[] = "gacer.detached";

/// Splits a serialised ModelProto, so that parsing it never copies weights. Only the protobuf wire
/// format and the numbers of the fields that lead to tensors are looked at. Error{kModel} with the
/// byte offset where the bytes stop being a protobuf message.
SlimModel detach_tensors(std::span<const std::byte> model);

/// Bytes of a number in the wire format, and how many they are.
void append_varint(std::string& out, std::uint64_t value);
std::size_t varint_size(std::uint64_t value);
/// The head of a length-delimited field, whose `size` bytes follow.
void append_field_head(std::string& out, std::uint32_t field, std::size_t size);
std::size_t field_head_size(std::uint32_t field, std::size_t size);

}  // namespace gacer
