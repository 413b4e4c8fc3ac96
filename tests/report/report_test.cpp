#include <cmath>
#include <limits>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "report/html.h"
#include "report/json.h"
#include "report/summary.h"
#include "report/table.h"
#include "report/trace.h"
#include "tests/report/fixture.h"

namespace gacer::report_test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::ordered_json;

std::vector<std::string> keys_of(const Json& value) {
  std::vector<std::string> keys;
  for (const auto& [key, unused] : value.items()) keys.push_back(key);
  return keys;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// The JSON that a page carries for its script.
Json data_of(const std::string& page) {
  const std::string open = "<script type=\"application/json\" id=\"data\">";
  const std::size_t begin = page.find(open) + open.size();
  return Json::parse(page.substr(begin, page.find("</script>", begin) - begin));
}

TEST(ReportJson, HasTheDocumentedKeysInOrder) {
  const Json report = Json::parse(report_json(make_comparison(), "gacer compare a b"));
  EXPECT_EQ(keys_of(report),
            (std::vector<std::string>{"gacer", "commit", "command", "device", "foreign_load",
                                      "tenants", "policies", "bounds", "chosen", "guard", "speedup",
                                      "profile_s", "plan_s"}));
  EXPECT_EQ(keys_of(report["device"]),
            (std::vector<std::string>{"name", "kind", "cores", "clocks", "driver", "libraries"}));
  EXPECT_EQ(keys_of(report["tenants"][0]),
            (std::vector<std::string>{"name", "model", "mode", "batch", "precision",
                                      "weights_bytes", "arena_bytes"}));
  EXPECT_EQ(keys_of(report["policies"][0]),
            (std::vector<std::string>{"name", "round_ms", "tenants", "utilization", "residue",
                                      "outputs_match", "max_rel_error", "launches", "chunks",
                                      "budgets", "sync_points", "search_s", "notes"}));
  EXPECT_EQ(keys_of(report["policies"][0]["round_ms"]),
            (std::vector<std::string>{"min", "median", "p95", "n"}));
  EXPECT_EQ(keys_of(report["policies"][0]["tenants"][0]),
            (std::vector<std::string>{"name", "latency_ms", "items_per_s"}));
  EXPECT_EQ(keys_of(report["bounds"]), (std::vector<std::string>{"critical_path_ms", "flop_ms",
                                                                 "bytes_ms", "area_estimate_ms"}));
}

TEST(ReportJson, CarriesTheNumbers) {
  const Json report = Json::parse(report_json(make_comparison(), "gacer compare a b"));
  EXPECT_EQ(report["command"], "gacer compare a b");
  EXPECT_EQ(report["device"]["cores"], 2);
  EXPECT_EQ(report["policies"][2]["name"], "gacer");
  EXPECT_DOUBLE_EQ(report["policies"][2]["round_ms"]["median"], 12.5);
  EXPECT_EQ(report["policies"][2]["sync_points"], 4);
  EXPECT_DOUBLE_EQ(report["speedup"]["vs_sequential"], 18.0 / 12.5);
  EXPECT_DOUBLE_EQ(report["speedup"]["vs_best_simple"], 15.0 / 12.5);
  EXPECT_EQ(report["guard"]["regulated_won"], true);
  EXPECT_EQ(report["guard"]["turns"], 21);
  EXPECT_EQ(report["guard"]["gain_ms"], 2.25);
  EXPECT_TRUE(report["guard"]["noise_ms"].is_null());
}

TEST(ReportJson, ShowsPlacementWhereItWasAskedFor) {
  Comparison comparison = make_comparison();
  comparison.placement = {{{}, 132, 40, 40, 1.5}, {{0, 8}, 64, 12, 9, 0.25}};
  const Json rows = Json::parse(report_json(comparison, ""))["placement"];
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[1]["groups"], (Json{0, 8}));
  EXPECT_EQ(rows[1]["units"], 64);
  EXPECT_EQ(rows[1]["expected_kernels"], 12);
  EXPECT_EQ(rows[1]["seen_kernels"], 9);
  EXPECT_DOUBLE_EQ(rows[1]["busy_ms"], 0.25);
  const std::string table = report_table(comparison, false);
  EXPECT_THAT(table, HasSubstr("the whole device"));
  EXPECT_THAT(table, HasSubstr("groups 0 to 7"));
  EXPECT_THAT(table, HasSubstr("9 of 12"));
}

TEST(ReportJson, SaysSmsOnCudaAndNullForWhatWasNotMeasured) {
  Comparison comparison = make_comparison();
  comparison.device.kind = "cuda";
  comparison.policies.erase(comparison.policies.begin());
  comparison.policies[0].max_rel_error = std::numeric_limits<double>::quiet_NaN();
  const Json report = Json::parse(report_json(comparison, ""));
  EXPECT_TRUE(report["device"].contains("sms"));
  EXPECT_FALSE(report["device"].contains("cores"));
  EXPECT_TRUE(report["speedup"]["vs_sequential"].is_null());
  EXPECT_TRUE(report["policies"][0]["max_rel_error"].is_null());
}

TEST(ReportJson, IsValidForAnyName) {
  Comparison comparison = make_comparison();
  comparison.tenants[0].name = comparison.tenants[0].model = kHostileName;
  EXPECT_TRUE(Json::accept(report_json(comparison, kHostileName)));
}

TEST(ReportTable, AlignsColumnsWhateverTheAlphabet) {
  TextTable table;
  table.add_column("name");
  table.add_column("value", TextTable::Align::kRight);
  table.add_row({"größe 文字", "1"});
  table.add_row({"x", "1000"});
  const std::vector<std::string> lines = lines_of(table.to_text(/*use_color=*/false));
  ASSERT_EQ(lines.size(), 3U);
  const auto width = [](const std::string& text) {
    return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
  };
  EXPECT_EQ(width(lines[0]), width(lines[1]));
  EXPECT_EQ(width(lines[1]), width(lines[2]));
}

TEST(ReportTable, RejectsARowOfTheWrongLength) {
  TextTable table;
  table.add_column("name");
  EXPECT_THROW(table.add_row({"a", "b"}), Error);
}

TEST(ReportTable, UsesEscapeCodesOnlyWhenAsked) {
  EXPECT_THAT(report_table(make_comparison(), /*use_color=*/false), Not(HasSubstr("\x1b[")));
  EXPECT_THAT(report_table(make_comparison(), /*use_color=*/true), HasSubstr("\x1b["));
}

TEST(ReportTable, FitsAHundredColumnsForThreeTenants) {
  for (const std::string& line : lines_of(report_table(make_comparison(), false))) {
    const bool is_sentence = line.find("One round") == 0;
    EXPECT_TRUE(is_sentence || line.size() <= 118U) << line;
  }
}

TEST(ReportTable, MarksTheUsedPolicyAndOutputsThatDiffer) {
  Comparison comparison = make_comparison();
  comparison.policies[1].outputs_match = false;
  comparison.policies[1].max_rel_error = 0.5;
  const std::string text = report_table(comparison, false);
  EXPECT_THAT(text, HasSubstr("gacer *"));
  EXPECT_THAT(text, HasSubstr("DIFFER (5e-01)"));
}

TEST(ReportTable, SaysWhatWasNotChecked) {
  Comparison comparison = make_comparison();
  comparison.policies[1].is_checked = comparison.policies[1].outputs_match = false;
  EXPECT_THAT(report_table(comparison, false), HasSubstr("not checked"));
  const Json report = Json::parse(report_json(comparison, ""));
  EXPECT_TRUE(report["policies"][1]["outputs_match"].is_null());
  EXPECT_EQ(report["policies"][2]["outputs_match"], true);
}

TEST(ReportSummary, NamesTenantsTimesAndSpeedups) {
  EXPECT_EQ(summary_sentence(make_comparison()),
            "One round of rec, magika and vad takes 12.50 ms with the gacer plan: 1.44x the speed "
            "of running one after the other (18.00 ms) and 1.20x the speed of the best simple "
            "policy, streams (15.00 ms).");
}

TEST(ReportSummary, SaysWhenTheSimplePolicyIsUsed) {
  Comparison comparison = make_comparison();
  comparison.chosen = "streams";
  comparison.regulated_won = false;
  comparison.guard_gain_ms = 0.25;
  comparison.guard_noise_ms = 0.5;
  EXPECT_THAT(
      summary_sentence(comparison),
      HasSubstr("No regulated plan won beyond the noise (the best gained 0.25 ms of the 0.50 "
                "ms that count), so the simple one is used."));
  comparison.guard_gain_ms = -1.5;
  EXPECT_THAT(summary_sentence(comparison), HasSubstr("(the best lost 1.50 ms)"));
  comparison.guard_gain_ms = 0;
  EXPECT_THAT(summary_sentence(comparison), HasSubstr("(the best took as long)"));
  comparison.guard_gain_ms.reset();
  EXPECT_THAT(summary_sentence(comparison), HasSubstr("beyond the noise, so the simple one"));
}

TEST(ReportSummary, NeverPicksAPlanWithWrongOutputs) {
  Comparison comparison = make_comparison();
  comparison.chosen.clear();
  comparison.policies[2].outputs_match = false;
  EXPECT_EQ(chosen_result(comparison)->policy, "streams");
  comparison.policies.clear();
  EXPECT_EQ(chosen_result(comparison), nullptr);
  EXPECT_EQ(summary_sentence(comparison), "No policy was measured.");
}

TEST(ReportHtml, LoadsNothingFromElsewhere) {
  const std::string page = report_html(make_comparison(), "gacer compare a b");
  const std::regex resource(R"((src|href)\s*=|@import|url\(|fetch\()");
  EXPECT_FALSE(std::regex_search(page, resource));
  EXPECT_THAT(page, Not(HasSubstr("@GACER_DATA@")));
}

TEST(ReportHtml, CarriesEverySpan) {
  const Comparison comparison = make_comparison();
  const Json data = data_of(report_html(comparison, "gacer compare a b"));
  for (std::size_t i = 0; i < comparison.policies.size(); ++i) {
    const auto& timeline = comparison.policies[i].timeline;
    const Json& spans = data["plans"][i]["timeline"];
    ASSERT_EQ(spans.size(), timeline.size());
    for (std::size_t k = 0; k < timeline.size(); ++k) {
      EXPECT_EQ(spans[k][0], timeline[k].tenant);
      EXPECT_EQ(data["strings"][spans[k][1].get<std::size_t>()], timeline[k].node);
      EXPECT_EQ(spans[k][8], timeline[k].end_ms);
    }
  }
}

TEST(ReportHtml, NamesCannotBecomeMarkup) {
  Comparison comparison = make_comparison();
  comparison.tenants[0].name = kHostileName;
  comparison.policies[0].timeline[0].node = kHostileName;
  comparison.policies[0].plan.notes["x"] = kHostileName;
  const std::string page = report_html(comparison, kHostileName);
  EXPECT_THAT(page, Not(HasSubstr("</script><b>")));
  EXPECT_NO_THROW(data_of(page));
  EXPECT_THAT(data_of(page)["report"]["command"].get<std::string>(), HasSubstr("</script><b>"));
}

TEST(ReportTrace, HasATrackForEveryCoreAndTenantOfEveryPolicy) {
  const Json trace = Json::parse(report_trace(make_comparison()));
  std::map<int, std::set<std::string>> tracks;
  for (const Json& event : trace["traceEvents"])
    if (event["ph"] == "M" && event["name"] == "thread_name")
      tracks[event["pid"]].insert(event["args"]["name"].get<std::string>());
  ASSERT_EQ(tracks.size(), 3U);
  for (const auto& [process, names] : tracks)
    EXPECT_EQ(names, (std::set<std::string>{"core 0", "core 1", "rec", "magika", "vad"}));
}

TEST(ReportTrace, EventsOfATrackNeverOverlap) {
  Comparison comparison = make_comparison();
  // Two steps of one tenant on one core at the same time, as on a GPU.
  auto& timeline = comparison.policies[2].timeline;
  timeline.push_back(timeline[3]);
  timeline.push_back(timeline[3]);
  std::map<std::pair<int, int>, double> free_from;
  std::size_t count = 0;
  const Json trace = Json::parse(report_trace(comparison));
  for (const Json& event : trace["traceEvents"]) {
    if (event["ph"] != "X") continue;
    ++count;
    double& time = free_from[{event["pid"], event["tid"]}];
    EXPECT_GE(event["ts"].get<double>(), time - 1e-9);
    time = event["ts"].get<double>() + event["dur"].get<double>();
  }
  std::size_t expected = 0;
  for (const PolicyResult& result : comparison.policies)
    for (const auto& span : result.timeline)
      expected += 1 + static_cast<std::size_t>(span.unit_end - span.unit_begin);
  EXPECT_EQ(count, expected);
}

}  // namespace
}  // namespace gacer::report_test
