#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <gacer/plan.h>

#include "base/error.h"
#include "base/file.h"

namespace gacer {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;

std::string quote(const std::string& text) {
  return json(text).dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
}

const char* mode_name(LaunchMode mode) {
  return mode == LaunchMode::kMerged ? "merged" : "free_running";
}

/// Node names and signatures of a tenant, when it has them for every step.
const std::string* find_name(const Plan& plan, const Step& step) {
  if (step.tenant < 0 || static_cast<std::size_t>(step.tenant) >= plan.tenants.size()) {
    return nullptr;
  }
  const auto& names = plan.tenants[static_cast<std::size_t>(step.tenant)].node_names;
  if (step.node < 0 || static_cast<std::size_t>(step.node) >= names.size()) return nullptr;
  return &names[static_cast<std::size_t>(step.node)];
}

/// Writes by hand: one tenant's node, one step or one sync point a line.
class Writer {
 public:
  explicit Writer(const Plan& plan) : plan_(plan) {}

  std::string write() {
    put("{{\n  \"gacer_plan\": {},\n  \"policy\": {},\n  \"seed\": {},\n  \"mode\": \"{}\",\n",
        kVersion, quote(plan_.policy), plan_.seed, mode_name(plan_.mode));
    put("  \"device\": {},\n  \"num_groups\": {},\n", quote(plan_.device_id), plan_.num_groups);
    put("  \"notes\": {{");
    list(plan_.notes, "    ", "  ",
         [&](const auto& note) { put("{}: {}", quote(note.first), quote(note.second)); });
    put("}},\n  \"tenants\": [");
    list(plan_.tenants, "    ", "  ", [&](const PlanTenant& tenant) { write_tenant(tenant); });
    put("],\n  \"lanes\": [");
    list(plan_.lanes, "    ", "  ", [&](const Lane& lane) {
      put("{{\"tenant\": {}, \"steps\": [", lane.tenant);
      list(lane.steps, "      ", "    ", [&](const Step& step) { write_step(lane, step); });
      put("]}}");
    });
    put("],\n  \"sync_points\": [");
    list(plan_.sync_points, "    ", "  ", [&](const SyncPoint& sync) {
      put("{{\"before\": [{}, {}], \"after\": [{}, {}], \"barrier\": {}}}", sync.before.lane,
          sync.before.index, sync.after.lane, sync.after.index, sync.barrier);
    });
    put("]\n}}\n");
    return fmt::to_string(out_);
  }

 private:
  template <typename... Args>
  void put(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }

  template <typename Items, typename Body>
  void list(const Items& items, std::string_view indent, std::string_view close, Body body) {
    bool is_first = true;
    for (const auto& item : items) {
      put("{}\n{}", is_first ? "" : ",", indent);
      is_first = false;
      body(item);
    }
    if (!is_first) put("\n{}", close);
  }

  void write_tenant(const PlanTenant& tenant) {
    put("{{\"name\": {}, \"model\": {}, \"mode\": {}, \"precision\": {},\n", quote(tenant.name),
        quote(tenant.model), quote(tenant.mode), quote(tenant.precision));
    put("     \"batch\": {}, ", tenant.batch);
    if (!tenant.dims.empty()) {
      put("\"dims\": {{");
      const char* separator = "";
      for (const auto& [name, size] : tenant.dims)
        put("{}{}: {}", std::exchange(separator, ", "), quote(name), size);
      put("}}, ");
    }
    if (tenant.priority != 0) put("\"priority\": {}, ", tenant.priority);
    put("\"repeat\": {}, \"fingerprint\": {},\n     \"nodes\": [", tenant.repeat,
        quote(tenant.fingerprint));
    require(tenant.node_names.size() == tenant.node_signatures.size(),
            "tenant '{}' has {} node names and {} signatures", tenant.name,
            tenant.node_names.size(), tenant.node_signatures.size());
    std::size_t index = 0;
    list(tenant.node_names, "      ", "     ", [&](const std::string& name) {
      put("[{}, {}]", quote(name), quote(tenant.node_signatures[index++]));
    });
    put("]}}");
  }

  void write_step(const Lane& lane, const Step& step) {
    require(step.tenant == lane.tenant, "a step of tenant {} is in a lane of tenant {}",
            step.tenant, lane.tenant);
    put("{{\"node\": {}, ", step.node);
    if (const std::string* name = find_name(plan_, step)) put("\"name\": {}, ", quote(*name));
    if (step.iteration != 0) put("\"iteration\": {}, ", step.iteration);
    put("\"chunk\": [{}, {}], \"budget\": [{}, {}], \"priority\": {}, \"variant\": {}}}",
        step.chunk.begin, step.chunk.end, step.budget.begin, step.budget.end, step.priority,
        quote(step.variant));
  }

  const Plan& plan_;
  fmt::memory_buffer out_;
};

/// A JSON value and where it is, for messages: "$.lanes[2].steps[14].chunk".
class Reader {
 public:
  Reader(const json& value, std::string path) : value_(value), path_(std::move(path)) {}

  [[noreturn]] void reject(const std::string& what) const {
    fail(ErrorKind::kPlan, "plan JSON at {}: {}", path_, what);
  }

  /// Checks that this is an object with these keys only.
  const Reader& object(std::initializer_list<std::string_view> keys) const {
    if (!value_.is_object()) reject(fmt::format("expected an object, found {}", type()));
    for (const auto& item : value_.items()) {
      bool is_known = false;
      for (std::string_view key : keys) is_known = is_known || key == item.key();
      if (!is_known) reject(fmt::format("unknown field '{}'", item.key()));
    }
    return *this;
  }

  Reader at(const char* key) const {
    const auto found = value_.find(key);
    if (found == value_.end()) reject(fmt::format("field '{}' is missing", key));
    return Reader(*found, fmt::format("{}.{}", path_, key));
  }
  bool has(const char* key) const { return value_.contains(key); }

  std::size_t array() const {
    if (!value_.is_array()) reject(fmt::format("expected a list, found {}", type()));
    return value_.size();
  }
  Reader operator[](std::size_t i) const {
    return Reader(value_[i], fmt::format("{}[{}]", path_, i));
  }
  /// Checks the length of a list.
  const Reader& tuple(std::size_t size) const {
    if (array() != size) reject(fmt::format("expected {} elements, found {}", size, value_.size()));
    return *this;
  }

  std::string text() const {
    if (!value_.is_string()) reject(fmt::format("expected a string, found {}", type()));
    return value_.get<std::string>();
  }

  template <typename Int>
  Int integer(Int low = std::numeric_limits<Int>::min(),
              Int high = std::numeric_limits<Int>::max()) const {
    if (!value_.is_number_integer()) reject(fmt::format("expected an integer, found {}", type()));
    bool in_range = false;
    if (value_.is_number_unsigned()) {
      const auto number = value_.get<std::uint64_t>();
      in_range = std::cmp_less_equal(number, high) && std::cmp_greater_equal(number, low);
    } else {
      const auto number = value_.get<std::int64_t>();
      in_range = std::cmp_less_equal(number, high) && std::cmp_greater_equal(number, low);
    }
    if (!in_range) {
      reject(fmt::format("{} is out of range, allowed are {} to {}", value_.dump(), low, high));
    }
    return value_.get<Int>();
  }

  template <typename Body>
  void each_field(Body body) const {
    if (!value_.is_object()) reject(fmt::format("expected an object, found {}", type()));
    for (const auto& item : value_.items()) {
      body(item.key(), Reader(item.value(), fmt::format("{}.{}", path_, item.key())));
    }
  }

 private:
  std::string type() const {
    // What is nested may be nested too deep to be written.
    if (value_.is_structured()) return value_.type_name();
    const std::string text =
        value_.dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
    return fmt::format("{} ({})", value_.type_name(), text.substr(0, 40));
  }

  const json& value_;
  std::string path_;
};

PlanTenant read_tenant(const Reader& in) {
  in.object({"name", "model", "mode", "precision", "batch", "dims", "priority", "repeat",
             "fingerprint", "nodes"});
  PlanTenant tenant;
  tenant.name = in.at("name").text();
  tenant.model = in.at("model").text();
  tenant.mode = in.at("mode").text();
  tenant.precision = in.at("precision").text();
  tenant.batch = in.at("batch").integer<std::int64_t>(1);
  if (in.has("dims"))
    in.at("dims").each_field([&](const std::string& name, const Reader& size) {
      tenant.dims[name] = size.integer<std::int64_t>(1);
    });
  if (in.has("priority")) tenant.priority = in.at("priority").integer<int>();
  tenant.repeat = in.at("repeat").integer<int>(1);
  tenant.fingerprint = in.at("fingerprint").text();
  const Reader nodes = in.at("nodes");
  const std::size_t count = nodes.array();
  for (std::size_t i = 0; i < count; ++i) {
    const Reader node = nodes[i];
    node.tuple(2);
    tenant.node_names.push_back(node[0].text());
    tenant.node_signatures.push_back(node[1].text());
  }
  return tenant;
}

Step read_step(const Reader& in, const Plan& plan, int tenant) {
  in.object({"node", "name", "iteration", "chunk", "budget", "priority", "variant"});
  const PlanTenant& identity = plan.tenants[static_cast<std::size_t>(tenant)];
  Step step;
  step.tenant = tenant;
  const int num_nodes = static_cast<int>(identity.node_names.size());
  step.node = in.at("node").integer<int>(0, num_nodes - 1);
  if (in.has("name")) {
    const std::string& expected = identity.node_names[static_cast<std::size_t>(step.node)];
    const Reader name = in.at("name");
    if (name.text() != expected) {
      name.reject(fmt::format("node {} of tenant '{}' is '{}', not '{}'", step.node, identity.name,
                              expected, name.text()));
    }
  }
  if (in.has("iteration")) step.iteration = in.at("iteration").integer<int>(0, identity.repeat - 1);
  const Reader chunk = in.at("chunk");
  chunk.tuple(2);
  step.chunk.begin =
      chunk[0].integer<std::int64_t>(0, std::numeric_limits<std::int64_t>::max() - 1);
  step.chunk.end = chunk[1].integer<std::int64_t>(step.chunk.begin + 1);
  const Reader budget = in.at("budget");
  budget.tuple(2);
  step.budget.begin = budget[0].integer<int>(0, plan.num_groups);
  step.budget.end = budget[1].integer<int>(0, plan.num_groups);
  step.priority = in.at("priority").integer<int>();
  step.variant = in.at("variant").text();
  return step;
}

StepRef read_ref(const Reader& in, const Plan& plan) {
  in.tuple(2);
  StepRef ref;
  ref.lane = in[0].integer<int>(0, static_cast<int>(plan.lanes.size()) - 1);
  const auto& steps = plan.lanes[static_cast<std::size_t>(ref.lane)].steps;
  ref.index = in[1].integer<int>(0, static_cast<int>(steps.size()) - 1);
  return ref;
}

void read_lanes(const Reader& in, Plan& plan) {
  const std::size_t num_lanes = in.array();
  for (std::size_t i = 0; i < num_lanes; ++i) {
    const Reader entry = in[i];
    entry.object({"tenant", "steps"});
    Lane lane;
    lane.tenant = entry.at("tenant").integer<int>(0, static_cast<int>(plan.tenants.size()) - 1);
    const Reader steps = entry.at("steps");
    const std::size_t num_steps = steps.array();
    lane.steps.reserve(num_steps);
    for (std::size_t j = 0; j < num_steps; ++j) {
      lane.steps.push_back(read_step(steps[j], plan, lane.tenant));
    }
    plan.lanes.push_back(std::move(lane));
  }
}

void read_sync_points(const Reader& in, Plan& plan) {
  const std::size_t count = in.array();
  for (std::size_t i = 0; i < count; ++i) {
    const Reader entry = in[i];
    entry.object({"before", "after", "barrier"});
    SyncPoint sync;
    sync.before = read_ref(entry.at("before"), plan);
    sync.after = read_ref(entry.at("after"), plan);
    sync.barrier = entry.at("barrier").integer<int>(-1);
    plan.sync_points.push_back(sync);
  }
}

Plan read_plan(const Reader& in) {
  in.object({"gacer_plan", "policy", "seed", "mode", "device", "num_groups", "notes", "tenants",
             "lanes", "sync_points"});
  const Reader version = in.at("gacer_plan");
  if (version.integer<int>() != kVersion) {
    version.reject(fmt::format("version {} of the format; this build reads version {}",
                               version.integer<int>(), kVersion));
  }
  Plan plan;
  plan.policy = in.at("policy").text();
  plan.seed = in.at("seed").integer<std::uint64_t>();
  const Reader mode = in.at("mode");
  if (mode.text() == mode_name(LaunchMode::kFreeRunning)) {
    plan.mode = LaunchMode::kFreeRunning;
  } else if (mode.text() != mode_name(LaunchMode::kMerged)) {
    mode.reject(fmt::format("'{}' is not one of merged, free_running", mode.text()));
  }
  plan.device_id = in.at("device").text();
  plan.num_groups = in.at("num_groups").integer<int>(1);
  in.at("notes").each_field(
      [&](const std::string& key, const Reader& note) { plan.notes[key] = note.text(); });
  const Reader tenants = in.at("tenants");
  const std::size_t num_tenants = tenants.array();
  for (std::size_t i = 0; i < num_tenants; ++i) plan.tenants.push_back(read_tenant(tenants[i]));
  read_lanes(in.at("lanes"), plan);
  read_sync_points(in.at("sync_points"), plan);
  return plan;
}

}  // namespace

std::string to_json(const Plan& plan) { return Writer(plan).write(); }

Plan parse_plan(const std::string& text) {
  json document;
  try {
    document = json::parse(text);
  } catch (const json::exception& e) {
    fail(ErrorKind::kPlan, "plan JSON at $: not JSON: {}", e.what());
  }
  return read_plan(Reader(document, "$"));
}

Plan load_plan(const std::string& path) {
  const std::string text = read_file(path);
  try {
    return parse_plan(text);
  } catch (Error& e) {
    e.add_context(fmt::format("plan file '{}'", path));
    throw;
  }
}

void save_plan(const Plan& plan, const std::string& path) {
  write_file_atomically(path, to_json(plan));
}

}  // namespace gacer
