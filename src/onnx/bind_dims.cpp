#include "onnx/bind_dims.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"

namespace gacer {
namespace {

constexpr std::string_view kImageAxes = "NCHW";
constexpr std::int64_t kMaxDim = std::numeric_limits<std::int32_t>::max();

struct Slot {
  std::size_t input = 0;
  int axis = 0;
  friend bool operator==(const Slot&, const Slot&) = default;
};

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// "unk__214" -> "unk__"; empty when the name does not end in a number.
std::string family(const std::string& symbol) {
  const std::size_t last = symbol.find_last_not_of("0123456789");
  if (last == std::string::npos || last + 1 == symbol.size()) return {};
  return symbol.substr(0, last + 1);
}

class Binder {
 public:
  Binder(const std::vector<FileInput>& inputs, const ReadOptions& options)
      : inputs_(inputs), options_(options) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      sizes_.emplace_back();
      for (const FileDim& dim : inputs[i].dims) {
        sizes_.back().push_back(dim.size);
        if (dim.is_dynamic()) dynamic_.push_back({i, static_cast<int>(sizes_.back().size()) - 1});
      }
    }
  }

  BoundInputs run() {
    check_numbers();
    for (const auto& [key, size] : options_.dims) bind_key(key, size);
    BoundInputs bound;
    const std::vector<Slot> batch = find_batch();
    bound.has_batch = !batch.empty();
    bound.batch = bind_batch(batch);
    check_all_bound();
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      BoundInput input{inputs_[i].name, inputs_[i].dtype, Shape(sizes_[i]), {}};
      for (const Slot& slot : batch)
        if (slot.input == i) input.batch_axes.push_back(slot.axis);
      bound.inputs.push_back(std::move(input));
    }
    return bound;
  }

 private:
  const FileDim& dim(const Slot& slot) const {
    return inputs_[slot.input].dims[static_cast<std::size_t>(slot.axis)];
  }
  std::int64_t& size(const Slot& slot) {
    return sizes_[slot.input][static_cast<std::size_t>(slot.axis)];
  }
  std::string label(const Slot& slot) const {
    return fmt::format("{}.{}", inputs_[slot.input].name, slot.axis);
  }

  void check_numbers() const {
    if (options_.batch < 1 || options_.batch > kMaxDim)
      fail(ErrorKind::kUsage, "batch {}: must be from 1 to {}", options_.batch, kMaxDim);
    for (const auto& [key, size] : options_.dims)
      if (size < 1 || size > kMaxDim)
        fail(ErrorKind::kUsage, "dimension {}={}: must be from 1 to {}", key, size, kMaxDim);
  }

  // The dimensions that a key means, dynamic or not.
  std::vector<Slot> resolve(const std::string& key) const {
    std::vector<Slot> slots;
    for (const Slot& slot : dynamic_)
      if (dim(slot).symbol == key) slots.push_back(slot);
    if (!slots.empty()) return slots;
    if (key.size() == 1 && kImageAxes.find(key) != std::string_view::npos) {
      const auto axis = static_cast<int>(kImageAxes.find(key));
      for (std::size_t i = 0; i < inputs_.size(); ++i)
        if (inputs_[i].dims.size() == 4) slots.push_back({i, axis});
      // A size for the width is not meant for an input whose width is fixed, unless all are.
      const auto is_fixed = [&](const Slot& slot) { return !dim(slot).is_dynamic(); };
      if (!std::all_of(slots.begin(), slots.end(), is_fixed)) std::erase_if(slots, is_fixed);
      return slots;
    }
    for (std::size_t i = 0; i < inputs_.size(); ++i)
      for (int axis = 0; axis < static_cast<int>(inputs_[i].dims.size()); ++axis)
        if (label({i, axis}) == key) slots.push_back({i, axis});
    return slots;
  }

  // Every key that may bind a dynamic dimension, the shortest first.
  std::vector<std::string> keys_of(const Slot& slot) const {
    std::vector<std::string> keys;
    if (inputs_[slot.input].dims.size() == 4)
      keys.emplace_back(1, kImageAxes[static_cast<std::size_t>(slot.axis)]);
    const std::string& symbol = dim(slot).symbol;
    if (!symbol.empty() && (keys.empty() || keys[0] != symbol)) keys.push_back(symbol);
    keys.push_back(label(slot));
    return keys;
  }

  void bind_key(const std::string& key, std::int64_t value) {
    const std::vector<Slot> slots = resolve(key);
    if (slots.empty()) {
      std::vector<std::string> known;
      for (const Slot& slot : dynamic_)
        for (const std::string& name : keys_of(slot))
          if (std::find(known.begin(), known.end(), name) == known.end()) known.push_back(name);
      fail(ErrorKind::kUsage, "the model has no dimension '{}'; {}", key,
           known.empty() ? "all its dimensions are fixed"
                         : fmt::format("it has {}", fmt::join(known, ", ")));
    }
    for (const Slot& slot : slots) {
      if (!dim(slot).is_dynamic()) {
        if (size(slot) != value)
          fail(ErrorKind::kUsage, "{}={}: axis {} of input '{}' is fixed at {}", key, value,
               slot.axis, inputs_[slot.input].name, size(slot));
        continue;
      }
      bind_slot(slot, value, key);
      for (const Slot& other : dynamic_)  // one symbol, one size
        if (!dim(slot).symbol.empty() && dim(other).symbol == dim(slot).symbol)
          bind_slot(other, value, key);
    }
  }

  void bind_slot(const Slot& slot, std::int64_t value, const std::string& key) {
    std::int64_t& current = size(slot);
    if (current >= 0 && current != value)
      fail(ErrorKind::kUsage, "{}={}: axis {} of input '{}' was already given the size {}", key,
           value, slot.axis, inputs_[slot.input].name, current);
    current = value;
  }

  std::vector<Slot> find_batch() const {
    for (const char* name : {"batch", "batch_size", "n"}) {
      std::vector<Slot> named;
      for (const Slot& slot : dynamic_)
        if (lower(dim(slot).symbol) == name) named.push_back(slot);
      if (!named.empty()) return named;
    }
    const Slot* outermost = nullptr;
    for (const Slot& slot : dynamic_)
      if (may_be_batch(slot) && (outermost == nullptr || slot.axis < outermost->axis))
        outermost = &slot;
    if (outermost == nullptr) return {};
    const std::string& symbol = dim(*outermost).symbol;
    const std::string numbered = family(symbol);
    std::vector<Slot> batch;
    for (const Slot& slot : dynamic_) {
      const bool same_axis = slot.axis == outermost->axis && may_be_batch(slot);
      if (symbol.empty() ? same_axis && dim(slot).symbol.empty()
                         : dim(slot).symbol == symbol || (same_axis && !numbered.empty() &&
                                                          family(dim(slot).symbol) == numbered))
        batch.push_back(slot);
    }
    return batch;
  }

  bool may_be_batch(const Slot& slot) const {
    if (slot.axis == 0) return true;
    const std::vector<FileDim>& dims = inputs_[slot.input].dims;
    return slot.axis == 1 && dims.size() == 3 && dims[0].size > 1;
  }

  std::int64_t bind_batch(const std::vector<Slot>& batch) {
    if (batch.empty()) {
      if (options_.batch != 1)
        fail(ErrorKind::kUsage, "batch {}: the model's batch is fixed ({})", options_.batch,
             describe_inputs());
      return 1;
    }
    std::int64_t value = options_.batch;
    for (const Slot& slot : batch)
      if (size(slot) >= 0) value = size(slot);
    if (options_.batch != 1 && options_.batch != value)
      fail(ErrorKind::kUsage, "batch {} contradicts the size {} given for '{}'", options_.batch,
           value, keys_of(batch.front()).front());
    for (const Slot& slot : batch) bind_slot(slot, value, "batch");
    return value;
  }

  std::string describe_inputs() const {
    std::vector<std::string> texts;
    for (const FileInput& input : inputs_) {
      std::vector<std::string> dims;
      for (const FileDim& d : input.dims)
        dims.push_back(!d.is_dynamic()    ? std::to_string(d.size)
                       : d.symbol.empty() ? "?"
                                          : d.symbol);
      texts.push_back(fmt::format("'{}' [{}]", input.name, fmt::join(dims, ", ")));
    }
    return fmt::format("inputs {}", fmt::join(texts, ", "));
  }

  void check_all_bound() {
    std::vector<std::string> unbound;
    std::vector<std::string> example;
    for (const Slot& slot : dynamic_) {
      if (size(slot) >= 0) continue;
      const std::vector<std::string> keys = keys_of(slot);
      std::vector<std::string> options;
      for (const std::string& key : keys) options.push_back(fmt::format("?{}=SIZE", key));
      unbound.push_back(
          fmt::format("axis {} of input '{}'{}: {}", slot.axis, inputs_[slot.input].name,
                      dim(slot).symbol.empty() ? std::string(", unnamed")
                                               : fmt::format(", named '{}'", dim(slot).symbol),
                      fmt::join(options, " or ")));
    }
    if (!unbound.empty())
      fail(ErrorKind::kModel, "dimensions without a size; bind them: {}", fmt::join(unbound, "; "));
  }

  const std::vector<FileInput>& inputs_;
  const ReadOptions& options_;
  std::vector<std::vector<std::int64_t>> sizes_;
  std::vector<Slot> dynamic_;
};

}  // namespace

BoundInputs BoundInputs::with_batch(std::int64_t other) const {
  BoundInputs result = *this;
  result.batch = other;
  for (BoundInput& input : result.inputs)
    for (int axis : input.batch_axes) input.shape[axis] = other;
  return result;
}

BoundInputs bind_dims(const std::vector<FileInput>& inputs, const ReadOptions& options) {
  return Binder(inputs, options).run();
}

}  // namespace gacer
