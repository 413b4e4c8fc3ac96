#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <gacer/tensor.h>

namespace gacer {

using Attribute = std::variant<std::int64_t, float, std::string, std::vector<std::int64_t>,
                               std::vector<float>, std::vector<std::string>, Tensor>;

/// A node's attributes by name. Typed getters throw Error{kModel} when an attribute that exists has
/// another type; `get_*(name, fallback)` returns the fallback when it does not exist.
class Attributes {
 public:
  bool has(std::string_view name) const { return entries_.find(name) != entries_.end(); }
  void set(std::string name, Attribute value) { entries_[std::move(name)] = std::move(value); }
  void erase(std::string_view name);

  std::int64_t get_int(std::string_view name, std::int64_t fallback) const;
  float get_float(std::string_view name, float fallback) const;
  std::string get_string(std::string_view name, std::string_view fallback) const;
  std::vector<std::int64_t> get_ints(std::string_view name,
                                     std::vector<std::int64_t> fallback = {}) const;
  std::vector<float> get_floats(std::string_view name, std::vector<float> fallback = {}) const;
  std::vector<std::string> get_strings(std::string_view name) const;
  const Tensor* find_tensor(std::string_view name) const;

  const std::map<std::string, Attribute, std::less<>>& entries() const { return entries_; }

 private:
  std::map<std::string, Attribute, std::less<>> entries_;
};

}  // namespace gacer
