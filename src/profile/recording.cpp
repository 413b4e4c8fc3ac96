#include "profile/recording.h"

#include <string_view>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"

namespace gacer {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;

json write_device(const DeviceInfo& device) {
  return {{"name", device.name},
          {"kind", device.kind},
          {"index", device.index},
          {"num_units", device.num_units},
          {"units_per_group", device.units_per_group},
          {"num_groups", device.num_groups},
          {"memory_bytes", device.memory_bytes},
          {"clock_mhz", device.clock_mhz},
          {"peak_flops", device.peak_flops},
          {"peak_bandwidth", device.peak_bandwidth},
          {"driver", device.driver},
          {"libraries", device.libraries}};
}

json write_row(const ProfileRow& row) {
  json out = {{"signature", row.signature},
              {"items", row.items},
              {"variant", row.variant},
              {"width", row.width},
              {"solo_ms", row.solo_ms},
              {"saturated_ms", row.saturated_ms},
              {"flop", row.flop},
              {"bytes", row.bytes},
              {"workspace_bytes", row.workspace_bytes},
              {"launches", row.launches}};
  if (!row.footprint.empty()) out["footprint"] = row.footprint;
  if (!row.rejected.empty()) out["rejected"] = row.rejected;
  return out;
}

[[noreturn]] void reject(const std::string& path, const std::string& what) {
  fail(ErrorKind::kIo, "recording JSON at {}: {}", path, what);
}

/// Reads fields of one object; unknown fields are refused.
class Fields {
 public:
  Fields(const json& object, std::string path, std::initializer_list<std::string_view> keys)
      : object_(object), path_(std::move(path)) {
    if (!object_.is_object()) reject(path_, "expected an object");
    for (const auto& item : object_.items()) {
      bool is_known = false;
      for (std::string_view key : keys) is_known = is_known || key == item.key();
      if (!is_known) reject(path_, fmt::format("unknown field '{}'", item.key()));
    }
  }

  const json& at(const char* key) const {
    const auto found = object_.find(key);
    if (found == object_.end()) reject(path_, fmt::format("field '{}' is missing", key));
    return *found;
  }
  std::string text(const char* key) const {
    const json& value = at(key);
    if (!value.is_string()) bad(key, "a string");
    return value.get<std::string>();
  }
  std::string text_or(const char* key, const std::string& fallback) const {
    return object_.contains(key) ? text(key) : fallback;
  }
  std::int64_t integer(const char* key, std::int64_t low) const {
    const json& value = at(key);
    if (!value.is_number_integer()) bad(key, "an integer");
    const auto number = value.get<std::int64_t>();
    if (number < low) bad(key, fmt::format("at least {}", low));
    return number;
  }
  int small(const char* key, int low) const {
    const std::int64_t number = integer(key, low);
    if (number > 1'000'000) bad(key, "at most 1000000");
    return static_cast<int>(number);
  }
  double number(const char* key) const {
    const json& value = at(key);
    if (!value.is_number()) bad(key, "a number");
    const auto result = value.get<double>();
    if (!(result >= 0)) bad(key, "not negative");
    return result;
  }
  bool boolean(const char* key) const {
    const json& value = at(key);
    if (!value.is_boolean()) bad(key, "true or false");
    return value.get<bool>();
  }

 private:
  [[noreturn]] void bad(const char* key, const std::string& expected) const {
    reject(fmt::format("{}.{}", path_, key), fmt::format("expected {}", expected));
  }

  const json& object_;
  std::string path_;
};

DeviceInfo read_device(const json& in) {
  const Fields fields(
      in, "$.device",
      {"name", "kind", "index", "num_units", "units_per_group", "num_groups", "memory_bytes",
       "clock_mhz", "peak_flops", "peak_bandwidth", "driver", "libraries"});
  DeviceInfo device;
  device.name = fields.text("name");
  device.kind = fields.text("kind");
  device.index = fields.small("index", 0);
  device.num_units = fields.small("num_units", 1);
  device.units_per_group = fields.small("units_per_group", 1);
  device.num_groups = fields.small("num_groups", 1);
  device.memory_bytes = fields.integer("memory_bytes", 0);
  device.clock_mhz = fields.number("clock_mhz");
  device.peak_flops = fields.number("peak_flops");
  device.peak_bandwidth = fields.number("peak_bandwidth");
  device.driver = fields.text("driver");
  const json& libraries = fields.at("libraries");
  if (!libraries.is_object()) reject("$.device.libraries", "expected an object");
  for (const auto& item : libraries.items()) {
    if (!item.value().is_string()) reject("$.device.libraries." + item.key(), "expected a string");
    device.libraries[item.key()] = item.value().get<std::string>();
  }
  return device;
}

ProfileRow read_row(const json& in, const std::string& path, int num_groups) {
  const Fields fields(in, path,
                      {"signature", "items", "variant", "width", "solo_ms", "saturated_ms", "flop",
                       "bytes", "workspace_bytes", "launches", "footprint", "rejected"});
  ProfileRow row;
  row.signature = fields.text("signature");
  row.items = fields.integer("items", 1);
  row.variant = fields.text("variant");
  row.width = fields.small("width", 1);
  if (row.width > num_groups) {
    reject(path + ".width", fmt::format("{} groups, the device has {}", row.width, num_groups));
  }
  row.solo_ms = fields.number("solo_ms");
  row.saturated_ms = fields.number("saturated_ms");
  row.flop = fields.number("flop");
  row.bytes = fields.number("bytes");
  row.workspace_bytes = fields.integer("workspace_bytes", 0);
  row.launches = fields.small("launches", 0);
  row.footprint = fields.text_or("footprint", "");
  row.rejected = fields.text_or("rejected", "");
  return row;
}

std::vector<int> read_widths(const json& in, int num_groups) {
  if (!in.is_array() || in.empty()) reject("$.widths", "expected a list of widths");
  std::vector<int> widths;
  for (const json& width : in) {
    if (!width.is_number_integer() || width.get<std::int64_t>() < 1 ||
        width.get<std::int64_t>() > num_groups) {
      reject("$.widths",
             fmt::format("{} is no width of a device of {} groups",
                         width.is_structured() ? width.type_name() : width.dump(), num_groups));
    }
    widths.push_back(width.get<int>());
  }
  return widths;
}

}  // namespace

std::string to_json(const Recording& recording) {
  json head = {{"gacer_recording", kVersion},
               {"device", write_device(recording.device)},
               {"is_width_fixed", recording.is_width_fixed},
               {"concats_in_place", recording.concats_in_place},
               {"image_layout", recording.image_layout},
               {"widths", recording.widths},
               {"forms", recording.forms}};
  // The rows one a line, after the head: files stay readable and diffs small.
  const auto dump = [](const json& value, int indent) {
    return value.dump(indent, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
  };
  std::string out = dump(head, 1);
  out.resize(out.rfind('}'));
  while (out.back() == '\n') out.pop_back();
  out += ",\n \"rows\": [";
  const char* separator = "\n  ";
  for (const ProfileRow& row : recording.rows.all()) {
    out += separator + dump(write_row(row), -1);
    separator = ",\n  ";
  }
  return out + "\n ]\n}\n";
}

Recording parse_recording(const std::string& text) {
  json document;
  try {
    document = json::parse(text);
  } catch (const json::exception& e) {
    reject("$", fmt::format("not JSON: {}", e.what()));
  }
  const Fields fields(document, "$",
                      {"gacer_recording", "device", "is_width_fixed", "concats_in_place",
                       "image_layout", "widths", "forms", "rows"});
  if (const std::int64_t version = fields.integer("gacer_recording", 0); version != kVersion) {
    reject("$.gacer_recording",
           fmt::format("version {}; this build reads version {}", version, kVersion));
  }
  Recording recording;
  recording.device = read_device(fields.at("device"));
  recording.is_width_fixed = fields.boolean("is_width_fixed");
  recording.concats_in_place =
      document.contains("concats_in_place") && fields.boolean("concats_in_place");
  recording.image_layout = fields.text("image_layout");
  recording.widths = read_widths(fields.at("widths"), recording.device.num_groups);
  const json& forms = fields.at("forms");
  if (!forms.is_array()) reject("$.forms", "expected a list");
  for (const json& form : forms) {
    if (!form.is_string()) reject("$.forms", "expected strings");
    recording.forms.insert(form.get<std::string>());
  }
  const json& rows = fields.at("rows");
  if (!rows.is_array()) reject("$.rows", "expected a list");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    recording.rows.add(
        read_row(rows[i], fmt::format("$.rows[{}]", i), recording.device.num_groups));
  }
  return recording;
}

Recording load_recording(const std::string& path) {
  const std::string text = read_file(path);
  try {
    return parse_recording(text);
  } catch (Error& e) {
    e.add_context(fmt::format("recording '{}'", path));
    throw;
  }
}

void save_recording(const Recording& recording, const std::string& path) {
  write_file_atomically(path, to_json(recording));
}

}  // namespace gacer
