#include "graph/attributes.h"

#include <array>

#include "base/error.h"

namespace gacer {
namespace {

const char* type_name(const Attribute& attribute) {
  static constexpr std::array<const char*, std::variant_size_v<Attribute>> kNames = {
      "int", "float", "string", "ints", "floats", "strings", "tensor"};
  return kNames[attribute.index()];
}

template <typename T>
const T* find_as(const Attributes& attributes, std::string_view name, const char* wanted) {
  const auto found = attributes.entries().find(name);
  if (found == attributes.entries().end()) return nullptr;
  const T* value = std::get_if<T>(&found->second);
  if (value == nullptr)
    fail(ErrorKind::kModel, "attribute '{}' is of type {}, not {}", name, type_name(found->second),
         wanted);
  return value;
}

}  // namespace

void Attributes::erase(std::string_view name) {
  const auto found = entries_.find(name);
  if (found != entries_.end()) entries_.erase(found);
}

std::int64_t Attributes::get_int(std::string_view name, std::int64_t fallback) const {
  const auto* value = find_as<std::int64_t>(*this, name, "int");
  return value != nullptr ? *value : fallback;
}

float Attributes::get_float(std::string_view name, float fallback) const {
  const auto* value = find_as<float>(*this, name, "float");
  return value != nullptr ? *value : fallback;
}

std::string Attributes::get_string(std::string_view name, std::string_view fallback) const {
  const auto* value = find_as<std::string>(*this, name, "string");
  return value != nullptr ? *value : std::string(fallback);
}

std::vector<std::int64_t> Attributes::get_ints(std::string_view name,
                                               std::vector<std::int64_t> fallback) const {
  const auto* value = find_as<std::vector<std::int64_t>>(*this, name, "ints");
  return value != nullptr ? *value : std::move(fallback);
}

std::vector<float> Attributes::get_floats(std::string_view name,
                                          std::vector<float> fallback) const {
  const auto* value = find_as<std::vector<float>>(*this, name, "floats");
  return value != nullptr ? *value : std::move(fallback);
}

std::vector<std::string> Attributes::get_strings(std::string_view name) const {
  const auto* value = find_as<std::vector<std::string>>(*this, name, "strings");
  return value != nullptr ? *value : std::vector<std::string>{};
}

const Tensor* Attributes::find_tensor(std::string_view name) const {
  return find_as<Tensor>(*this, name, "tensor");
}

}  // namespace gacer
