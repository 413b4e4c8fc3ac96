#include "report/html.h"

#include <map>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "report/report_value.h"
#include "report/summary.h"

namespace gacer {

extern const char report_html_template[];

namespace {

using Json = nlohmann::ordered_json;

/// Node names and variant keys repeat in every policy: each text is stored once.
class Strings {
 public:
  std::size_t index(const std::string& text) {
    const auto [place, is_new] = indices_.try_emplace(text, list_.size());
    if (is_new) list_.push_back(text);
    return place->second;
  }
  const Json& list() const { return list_; }

 private:
  std::map<std::string, std::size_t> indices_;
  Json list_ = Json::array();
};

Json timeline_value(const PolicyResult& result, Strings& strings) {
  Json spans = Json::array();
  for (const PolicyResult::Span& span : result.timeline) {
    spans.push_back({span.tenant, strings.index(span.node), strings.index(span.variant),
                     span.unit_begin, span.unit_end, span.chunk.begin, span.chunk.end,
                     span.begin_ms, span.end_ms});
  }
  return spans;
}

Json plan_value(const PolicyResult& result, Strings& strings) {
  Json notes = Json::object();
  for (const auto& [key, text] : result.plan.notes) notes[key] = text;
  return {{"name", result.policy},
          {"predicted_ms", result.predicted_ms},
          {"search_s", result.search_s},
          {"mode", result.plan.mode == LaunchMode::kMerged ? "one merged program"
                                                           : "free-running tenant programs"},
          {"lanes", result.plan.lanes.size()},
          {"steps", result.summary.steps},
          {"barriers", result.summary.barriers},
          {"priorities", result.summary.priorities},
          {"notes", std::move(notes)},
          {"timeline", timeline_value(result, strings)}};
}

/// JSON inside <script>: no "</script", no "<!--" may appear.
std::string escape_for_script(std::string text) {
  std::string escaped;
  escaped.reserve(text.size());
  for (const char c : text) {
    if (c == '<')
      escaped += "\\u003c";
    else
      escaped += c;
  }
  return escaped;
}

}  // namespace

std::string report_html(const Comparison& comparison, const std::string& command) {
  Strings strings;
  Json data;
  data["report"] = report_value(comparison, command);
  data["summary"] = summary_sentence(comparison);
  const PolicyResult* chosen = chosen_result(comparison);
  data["chosen"] = chosen == nullptr ? "" : chosen->policy;
  data["groups"] = comparison.device.num_groups;
  data["units_per_group"] = comparison.device.units_per_group;
  data["units"] = comparison.device.num_units;
  data["plans"] = Json::array();
  for (const PolicyResult& result : comparison.policies)
    data["plans"].push_back(plan_value(result, strings));
  data["strings"] = strings.list();

  std::string page = report_html_template;
  constexpr std::string_view kPlace = "@GACER_DATA@";
  const std::size_t place = page.find(kPlace);
  require(place != std::string::npos, "the page's template has no {}", kPlace);
  page.replace(place, kPlace.size(),
               escape_for_script(data.dump(-1, ' ', false, Json::error_handler_t::replace)));
  return page;
}

}  // namespace gacer
