#include "report/trace.h"

#include <algorithm>
#include <vector>

#include <nlohmann/json.hpp>

namespace gacer {
namespace {

using Json = nlohmann::ordered_json;
using Span = PolicyResult::Span;

Json metadata(const char* what, int process, int track, const std::string& name) {
  return {
      {"ph", "M"}, {"name", what}, {"pid", process}, {"tid", track}, {"args", {{"name", name}}}};
}

/// One policy's events: a viewer's process.
class PolicyTrace {
 public:
  PolicyTrace(const Comparison& comparison, const PolicyResult& result, int process, Json& events)
      : comparison_(comparison), result_(result), process_(process), events_(events) {
    for (const Span& span : result.timeline) spans_.push_back(&span);
    std::ranges::stable_sort(spans_, {}, &Span::begin_ms);
  }

  void write() {
    events_.push_back(metadata("process_name", process_, 0, result_.policy));
    const bool is_cpu = comparison_.device.kind == "cpu";
    int units = comparison_.device.num_groups;
    for (const Span* span : spans_) units = std::max(units, span->unit_end);
    for (int unit = 0; unit < units; ++unit) {
      std::vector<const Span*> here;
      std::ranges::copy_if(spans_, std::back_inserter(here), [unit](const Span* span) {
        return span->unit_begin <= unit && unit < span->unit_end;
      });
      write_tracks((is_cpu ? "core " : "group ") + std::to_string(unit), here);
    }
    for (std::size_t tenant = 0; tenant < comparison_.tenants.size(); ++tenant) {
      std::vector<const Span*> here;
      std::ranges::copy_if(spans_, std::back_inserter(here), [tenant](const Span* span) {
        return span->tenant == static_cast<int>(tenant);
      });
      write_tracks(comparison_.tenants[tenant].name, here);
    }
  }

 private:
  /// Spans in order of their begin; each goes to the first track that is free by then.
  void write_tracks(const std::string& name, const std::vector<const Span*>& spans) {
    std::vector<double> free_from;
    const int first = next_track_;
    for (const Span* span : spans) {
      auto place = std::ranges::find_if(free_from, [&](double t) { return t <= span->begin_ms; });
      if (place == free_from.end()) place = free_from.insert(place, 0);
      *place = span->end_ms;
      write_span(*span, first + static_cast<int>(place - free_from.begin()));
    }
    const int count = std::max<int>(1, static_cast<int>(free_from.size()));
    for (int i = 0; i < count; ++i) {
      events_.push_back(metadata("thread_name", process_, first + i, name));
      Json order = metadata("thread_sort_index", process_, first + i, "");
      order["args"] = {{"sort_index", first + i}};
      events_.push_back(std::move(order));
    }
    next_track_ = first + count;
  }

  void write_span(const Span& span, int track) {
    const auto tenant = static_cast<std::size_t>(span.tenant);
    events_.push_back(
        {{"ph", "X"},
         {"name", span.node},
         {"cat", tenant < comparison_.tenants.size() ? comparison_.tenants[tenant].name : ""},
         {"pid", process_},
         {"tid", track},
         {"ts", span.begin_ms * 1000},
         {"dur", std::max(0.0, span.end_ms - span.begin_ms) * 1000},
         {"args",
          {{"variant", span.variant},
           {"items", {span.chunk.begin, span.chunk.end}},
           {"budget", {span.unit_begin, span.unit_end}}}}});
  }

  const Comparison& comparison_;
  const PolicyResult& result_;
  int process_;
  Json& events_;
  std::vector<const Span*> spans_;
  int next_track_ = 1;
};

}  // namespace

std::string report_trace(const Comparison& comparison) {
  Json events = Json::array();
  int process = 1;
  for (const PolicyResult& result : comparison.policies)
    PolicyTrace(comparison, result, process++, events).write();
  const Json trace = {{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}};
  return trace.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace gacer
