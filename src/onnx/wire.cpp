#include "onnx/wire.h"

#include <cstdint>

#include "base/error.h"

namespace gacer {
namespace {

// Tensors below this are parsed as they are.
constexpr std::size_t kMinDetachedBytes = 1024;
constexpr int kMaxDepth = 64;

enum class Message { kModel, kGraph, kNode, kFunction, kAttribute, kTensor, kOther };

constexpr std::uint32_t kTensorRawData = 9;
constexpr std::uint32_t kTensorExternalData = 13;

// The messages on the way from a model to its tensors, by field number in onnx.proto.
Message child_of(Message message, std::uint32_t field) {
  switch (message) {
    case Message::kModel:
      return field == 7 ? Message::kGraph : field == 25 ? Message::kFunction : Message::kOther;
    case Message::kGraph:
      return field == 1 ? Message::kNode : field == 5 ? Message::kTensor : Message::kOther;
    case Message::kNode:
      return field == 5 ? Message::kAttribute : Message::kOther;
    case Message::kFunction:
      return field == 7 ? Message::kNode : field == 11 ? Message::kAttribute : Message::kOther;
    case Message::kAttribute:
      if (field == 5 || field == 10) return Message::kTensor;
      return field == 6 || field == 11 ? Message::kGraph : Message::kOther;
    case Message::kTensor:
    case Message::kOther:
      return Message::kOther;
  }
  return Message::kOther;
}

void append_field(std::string& out, std::uint32_t field, const std::string& payload) {
  append_field_head(out, field, payload.size());
  out += payload;
}

class Slimmer {
 public:
  explicit Slimmer(std::span<const std::byte> bytes) : bytes_(bytes) {}

  SlimModel run() {
    SlimModel model;
    copy_message(Message::kModel, 0, bytes_.size(), 0, model.bytes);
    model.detached = std::move(detached_);
    return model;
  }

 private:
  [[noreturn]] void corrupt(std::size_t at, const char* what) const {
    fail(ErrorKind::kModel, "not an ONNX model: {} at byte {} of {}", what, at, bytes_.size());
  }

  std::uint64_t read_varint(std::size_t& at, std::size_t end) const {
    std::uint64_t value = 0;
    const std::size_t begin = at;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at >= end) corrupt(begin, "a number is cut off");
      const auto byte = static_cast<std::uint64_t>(bytes_[at++]);
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    corrupt(begin, "a number of more than 64 bits");
  }

  void append_bytes(std::string& out, std::size_t begin, std::size_t end) const {
    out.append(reinterpret_cast<const char*>(bytes_.data()) + begin, end - begin);
  }

  // Length-delimited payload: copied, entered, or left where it is.
  void copy_payload(Message message, std::uint32_t field, std::size_t begin, std::size_t payload,
                    std::size_t end, int depth, std::string& out) {
    const Message child = child_of(message, field);
    if (child != Message::kOther) {
      std::string inner;
      copy_message(child, payload, end, depth + 1, inner);
      append_field(out, field, inner);
    } else if (message == Message::kTensor && field == kTensorRawData &&
               end - payload >= kMinDetachedBytes) {
      std::string entry;
      append_field(entry, 1, kDetachedKey);
      append_field(entry, 2, std::to_string(detached_.size()));
      append_field(out, kTensorExternalData, entry);
      detached_.push_back(bytes_.subspan(payload, end - payload));
    } else {
      append_bytes(out, begin, end);
    }
  }

  void copy_message(Message message, std::size_t at, std::size_t end, int depth, std::string& out) {
    if (depth > kMaxDepth) corrupt(at, "messages nested too deeply");
    while (at < end) {
      const std::size_t begin = at;
      const std::uint64_t tag = read_varint(at, end);
      const auto field = static_cast<std::uint32_t>(tag >> 3);
      if (tag >> 32 != 0 || field == 0) corrupt(begin, "a wrong field number");
      std::uint64_t size = 0;
      switch (tag & 7) {
        case 0:
          read_varint(at, end);
          break;
        case 1:
          size = 8;
          break;
        case 2:
          size = read_varint(at, end);
          break;
        case 5:
          size = 4;
          break;
        default:
          corrupt(begin, "a wrong wire type");
      }
      if (size > end - at) corrupt(begin, "a field is cut off");
      const std::size_t payload = at;
      at += static_cast<std::size_t>(size);
      if ((tag & 7) == 2)
        copy_payload(message, field, begin, payload, at, depth, out);
      else
        append_bytes(out, begin, at);
    }
  }

  std::span<const std::byte> bytes_;
  std::vector<std::span<const std::byte>> detached_;
};

}  // namespace

void append_varint(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>((value & 0x7f) | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

std::size_t varint_size(std::uint64_t value) {
  std::size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

void append_field_head(std::string& out, std::uint32_t field, std::size_t size) {
  append_varint(out, (static_cast<std::uint64_t>(field) << 3) | 2);
  append_varint(out, size);
}

std::size_t field_head_size(std::uint32_t field, std::size_t size) {
  return varint_size(static_cast<std::uint64_t>(field) << 3) + varint_size(size);
}

SlimModel detach_tensors(std::span<const std::byte> model) { return Slimmer(model).run(); }

}  // namespace gacer
