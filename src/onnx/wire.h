#pragma once

#include <cstddef>
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

}  // namespace gacer
