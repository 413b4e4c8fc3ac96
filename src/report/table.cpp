#include "report/table.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "base/error.h"
#include "report/summary.h"

namespace gacer {
namespace {

using Align = TextTable::Align;
using Style = TextTable::Style;

/// Characters of UTF-8 text: bytes that do not continue one.
std::size_t display_width(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string_view escape_code(Style style) {
  switch (style) {
    case Style::kPlain:
      return "";
    case Style::kBold:
      return "\x1b[1m";
    case Style::kGood:
      return "\x1b[1;32m";
    case Style::kBad:
      return "\x1b[31m";
    case Style::kDim:
      return "\x1b[2m";
  }
  return "";
}

std::string pad(const std::string& text, std::size_t width, Align align) {
  const std::string blanks(width - std::min(width, display_width(text)), ' ');
  return align == Align::kLeft ? text + blanks : blanks + text;
}

std::string device_line(const DeviceInfo& device) {
  std::string text = device.name;
  if (device.kind == "sim") text += " (simulated)";
  if (!device.driver.empty()) text += " · driver " + device.driver;
  for (const auto& [name, library_version] : device.libraries)
    text += fmt::format(" · {} {}", name, library_version);
  return text;
}

TextTable tenants_table(const Comparison& comparison) {
  TextTable table;
  table.add_column("tenant");
  table.add_column("model");
  table.add_column("mode");
  table.add_column("batch", Align::kRight);
  table.add_column("type");
  table.add_column("nodes", Align::kRight);
  table.add_column("weights", Align::kRight);
  table.add_column("arena", Align::kRight);
  for (const TenantInfo& tenant : comparison.tenants) {
    table.add_row({tenant.name, tenant.model, tenant.mode, std::to_string(tenant.batch),
                   tenant.precision, std::to_string(tenant.nodes),
                   format_bytes(tenant.weights_bytes), format_bytes(tenant.arena_bytes)});
  }
  return table;
}

std::string check_cell(const PolicyResult& result) {
  if (result.rounds == 0) return "not run";
  if (!result.is_checked) return "not checked";
  if (result.policy == "sequential" && result.outputs_match) return "reference";
  if (result.outputs_match)
    return result.max_rel_error == 0 ? "equal"
                                     : fmt::format("equal ({:.0e})", result.max_rel_error);
  return fmt::format("DIFFER ({:.0e})", result.max_rel_error);
}

TextTable policies_table(const Comparison& comparison) {
  TextTable table;
  table.add_column("policy");
  for (const char* title : {"round ms", "min", "p95", "vs seq", "used", "steps", "chunks",
                            "budgets", "syncs", "launches"})
    table.add_column(title, Align::kRight);
  table.add_column("outputs");
  const PolicyResult* chosen = chosen_result(comparison);
  for (const PolicyResult& result : comparison.policies) {
    const auto factor = speedup(comparison, result.policy, "sequential");
    Style style = &result == chosen ? Style::kGood : Style::kPlain;
    if (result.is_checked && !result.outputs_match) style = Style::kBad;
    table.add_row(
        {result.policy + (&result == chosen ? " *" : ""), format_ms(result.median_ms),
         format_ms(result.min_ms), format_ms(result.p95_ms),
         factor ? fmt::format("{:.2f}x", *factor) : "-",
         result.utilization > 0 ? fmt::format("{:.0f} %", 100 * result.utilization) : "-",
         std::to_string(result.summary.steps), std::to_string(result.summary.chunks),
         std::to_string(result.summary.budgets), std::to_string(result.summary.sync_points),
         std::to_string(result.launches), check_cell(result)},
        style);
  }
  return table;
}

TextTable placement_table(const Comparison& comparison) {
  TextTable table;
  table.add_column("kernels ran on");
  table.add_column("SMs", Align::kRight);
  table.add_column("kernels", Align::kRight);
  table.add_column("busy ms", Align::kRight);
  for (const Placement& row : comparison.placement) {
    const bool is_right = row.seen_kernels == row.expected_kernels;
    const std::string where =
        row.expected_kernels == 0 ? "elsewhere"
        : row.budget.is_all()
            ? "the whole device"
            : fmt::format("groups {} to {}", row.budget.begin, row.budget.end - 1);
    table.add_row({where, std::to_string(row.units),
                   is_right ? std::to_string(row.seen_kernels)
                            : fmt::format("{} of {}", row.seen_kernels, row.expected_kernels),
                   format_ms(row.busy_ms)},
                  is_right ? Style::kPlain : Style::kBad);
  }
  return table;
}

TextTable latency_table(const Comparison& comparison) {
  TextTable table;
  table.add_column("latency ms (items/s)");
  for (const TenantInfo& tenant : comparison.tenants) table.add_column(tenant.name, Align::kRight);
  const PolicyResult* chosen = chosen_result(comparison);
  for (const PolicyResult& result : comparison.policies) {
    std::vector<std::string> cells{result.policy + (&result == chosen ? " *" : "")};
    for (const TenantInfo& tenant : comparison.tenants) {
      const auto found = std::ranges::find(result.tenants, tenant.name, &TenantResult::name);
      cells.push_back(found == result.tenants.end()
                          ? "-"
                          : fmt::format("{} ({:.0f})", format_ms(found->latency_median_ms),
                                        found->items_per_s));
    }
    table.add_row(std::move(cells), &result == chosen ? Style::kGood : Style::kPlain);
  }
  return table;
}

}  // namespace

void TextTable::add_column(std::string title, Align align) {
  columns_.push_back({std::move(title), align});
}

void TextTable::add_row(std::vector<std::string> cells, Style style) {
  require(cells.size() == columns_.size(), "a row of {} cells in a table of {} columns",
          cells.size(), columns_.size());
  rows_.push_back({std::move(cells), style});
}

std::string TextTable::to_text(bool use_color) const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t width = display_width(columns_[i].title);
    for (const Row& row : rows_) width = std::max(width, display_width(row.cells[i]));
    widths.push_back(width);
  }
  const auto line = [&](const auto& cell_of, Style style) {
    std::string text;
    for (std::size_t i = 0; i < columns_.size(); ++i)
      text += (i == 0 ? "  " : "   ") + pad(cell_of(i), widths[i], columns_[i].align);
    text.erase(text.find_last_not_of(' ') + 1);
    const std::string_view code = use_color ? escape_code(style) : "";
    return fmt::format("{}{}{}\n", code, text, code.empty() ? "" : "\x1b[0m");
  };
  std::string text = line([&](std::size_t i) { return columns_[i].title; }, Style::kDim);
  for (const Row& row : rows_) text += line([&](std::size_t i) { return row.cells[i]; }, row.style);
  return text;
}

std::string report_table(const Comparison& comparison, bool use_color) {
  std::string text = device_line(comparison.device) + "\n\n";
  text += tenants_table(comparison).to_text(use_color) + "\n";
  text += policies_table(comparison).to_text(use_color) + "\n";
  text += latency_table(comparison).to_text(use_color) + "\n";
  if (!comparison.placement.empty()) text += placement_table(comparison).to_text(use_color) + "\n";
  text += fmt::format(
      "  bounds: critical path {} ms, arithmetic {} ms, memory {} ms; area estimate {} ms\n",
      format_ms(comparison.critical_path_ms), format_ms(comparison.flop_ms),
      format_ms(comparison.bytes_ms), format_ms(comparison.area_estimate_ms));
  text += fmt::format("  profiled in {:.1f} s, planned in {:.1f} s", comparison.profile_s,
                      comparison.plan_s);
  if (comparison.foreign_load >= 0.1)
    text +=
        fmt::format("; other processes used {:.1f} cores while measuring", comparison.foreign_load);
  text += "\n\n";
  const std::string sentence = summary_sentence(comparison);
  text += use_color ? fmt::format("\x1b[1m{}\x1b[0m\n", sentence) : sentence + "\n";
  return text;
}

bool wants_color(int file_descriptor) {
  const char* no_color = ::getenv("NO_COLOR");
  const char* terminal = ::getenv("TERM");
  return ::isatty(file_descriptor) != 0 && (no_color == nullptr || *no_color == '\0') &&
         terminal != nullptr && std::string_view(terminal) != "dumb";
}

}  // namespace gacer
