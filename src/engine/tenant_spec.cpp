#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

#include <gacer/tenant.h>

#include "base/error.h"

namespace gacer {
namespace {

/// Reads one MODEL argument, remembering where each part stands so that errors can point at it.
class SpecParser {
 public:
  explicit SpecParser(const std::string& text) : text_(text) {}

  TenantSpec parse() {
    std::string_view rest = text_;
    const std::size_t comma = rest.find(',');
    const std::string_view options = comma == rest.npos ? "" : rest.substr(comma + 1);
    rest = rest.substr(0, comma);
    const std::size_t question = rest.find('?');
    const std::string_view dims = question == rest.npos ? "" : rest.substr(question + 1);
    rest = rest.substr(0, question);
    if (comma != std::string::npos && options.empty())
      fail_at(options_end(), "expected key=value after ','");
    if (question != std::string::npos && dims.empty())
      fail_at(position(rest) + rest.size() + 1, "expected DIM=N after '?'");

    rest = take_batch(rest);
    rest = take_mode(rest);
    if (rest.empty()) fail_at(0, "the model is missing");
    if (rest == "zoo:") fail_at(4, "the zoo model's name is missing");
    spec_.model = std::string(rest);
    for_each_pair(dims, '&', "DIM=N", [&](auto key, auto value) { set_dim(key, value); });
    for_each_pair(options, ',', "key=value", [&](auto key, auto value) { set_option(key, value); });
    return spec_;
  }

 private:
  std::size_t options_end() const { return text_.size(); }
  std::size_t position(std::string_view part) const {
    return static_cast<std::size_t>(part.data() - text_.data());
  }

  [[noreturn]] void fail_at(std::size_t place, const std::string& what) const {
    fail(ErrorKind::kUsage, "{}\n  {}\n  {}^", what, text_, std::string(place, ' '));
  }

  /// Whole text as a number, or an error at its place.
  template <typename T>
  T number(std::string_view text, T smallest, T largest, std::string_view what) const {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || !(value >= smallest) ||
        !(value <= largest))
      fail_at(position(text), fmt::format("{} must be a number from {} to {}, got '{}'", what,
                                          smallest, largest, text));
    return value;
  }

  std::string_view take_batch(std::string_view rest) {
    const std::size_t at = rest.rfind('@');
    if (at == rest.npos) return rest;
    const std::string_view batch = rest.substr(at + 1);
    // An '@' inside of a directory or file name ("nets@v2/a.onnx") is no batch.
    if (batch.find_first_of("/.") != batch.npos) return rest;
    spec_.batch = number<std::int64_t>(batch, 1, 1 << 20, "the batch after '@'");
    return rest.substr(0, at);
  }

  std::string_view take_mode(std::string_view rest) {
    const std::size_t colon = rest.rfind(':');
    if (colon == rest.npos || rest.substr(0, colon) == "zoo") return rest;
    const std::string_view mode = rest.substr(colon + 1);
    if (mode == "train")
      spec_.mode = TenantMode::kTrain;
    else if (mode != "infer" && rest.starts_with("zoo:"))
      fail_at(position(mode), fmt::format("the mode must be train or infer, got '{}'", mode));
    else if (mode != "infer")
      return rest;  // a colon of the path
    return rest.substr(0, colon);
  }

  template <typename Body>
  void for_each_pair(std::string_view list, char separator, const char* form, Body body) {
    while (!list.empty()) {
      const std::size_t end = std::min(list.find(separator), list.size());
      const std::string_view pair = list.substr(0, end);
      const std::size_t equals = pair.find('=');
      if (equals == pair.npos || equals == 0 || equals + 1 == pair.size())
        fail_at(position(pair), fmt::format("expected {}, got '{}'", form, pair));
      body(pair.substr(0, equals), pair.substr(equals + 1));
      if (end + 1 == list.size())
        fail_at(text_.size(), fmt::format("expected {} after '{}'", form, separator));
      list = end == list.size() ? std::string_view{} : list.substr(end + 1);
    }
  }

  void set_dim(std::string_view key, std::string_view value) {
    const auto size = number<std::int64_t>(value, 1, std::int64_t{1} << 31, "a dimension");
    if (!spec_.dims.emplace(std::string(key), size).second)
      fail_at(position(key), fmt::format("dimension '{}' is given twice", key));
  }

  void set_option(std::string_view key, std::string_view value) {
    if (key == "name")
      spec_.name = std::string(value);
    else if (key == "priority")
      spec_.priority = parse_priority(value);
    else if (key == "weight")
      spec_.weight = number<double>(value, 1e-6, 1e6, "weight");
    else if (key == "repeat")
      spec_.repeat = number<int>(value, 1, 1 << 16, "repeat");
    else if (key == "memory")
      spec_.memory_limit_bytes = parse_bytes(value);
    else if (key == "latency")
      spec_.latency_target_ms = parse_milliseconds(value);
    else
      fail_at(position(key),
              fmt::format("unknown key '{}'; known are name, priority, weight, repeat, memory, "
                          "latency",
                          key));
  }

  int parse_priority(std::string_view text) const {
    if (text == "low") return -1;
    if (text == "normal") return 0;
    if (text == "high") return 1;
    return number<int>(text, -100, 100, "priority (low, normal, high or a number)");
  }

  /// "1.5G" → number and unit.
  std::pair<std::string_view, std::string_view> split_unit(std::string_view text) const {
    const std::size_t end = std::min(text.find_first_not_of("0123456789.eE+"), text.size());
    return {text.substr(0, end), text.substr(end)};
  }

  std::int64_t parse_bytes(std::string_view text) const {
    const auto [digits, unit] = split_unit(text);
    double scale = 1;
    if (unit == "K" || unit == "KB")
      scale = 1024.0;
    else if (unit == "M" || unit == "MB")
      scale = 1024.0 * 1024;
    else if (unit == "G" || unit == "GB")
      scale = 1024.0 * 1024 * 1024;
    else if (!unit.empty() && unit != "B")
      fail_at(position(unit), fmt::format("unknown unit '{}'; known are K, M, G", unit));
    const double count = number<double>(digits, 1e-9, 1e15, "memory");
    if (count * scale < 1 || count * scale > 1e15)
      fail_at(position(text), fmt::format("memory '{}' is out of range", text));
    return static_cast<std::int64_t>(std::llround(count * scale));
  }

  double parse_milliseconds(std::string_view text) const {
    const auto [digits, unit] = split_unit(text);
    double scale = 1;
    if (unit == "us")
      scale = 1e-3;
    else if (unit == "s")
      scale = 1e3;
    else if (!unit.empty() && unit != "ms")
      fail_at(position(unit), fmt::format("unknown unit '{}'; known are us, ms, s", unit));
    return number<double>(digits, 1e-6, 1e9, "latency") * scale;
  }

  const std::string& text_;
  TenantSpec spec_;
};

}  // namespace

TenantSpec TenantSpec::parse(const std::string& text) { return SpecParser(text).parse(); }

}  // namespace gacer
