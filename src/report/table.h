#pragma once

#include <string>
#include <vector>

#include <gacer/engine.h>

namespace gacer {

/// Columns of text, aligned for a terminal. Widths count characters, not bytes.
class TextTable {
 public:
  enum class Align { kLeft, kRight };
  enum class Style { kPlain, kBold, kGood, kBad, kDim };

  void add_column(std::string title, Align align = Align::kLeft);
  /// One cell a column. Error{kInternal} otherwise.
  void add_row(std::vector<std::string> cells, Style style = Style::kPlain);
  /// Lines of two spaces, the cells, no trailing blanks; escape codes only when `use_color`.
  std::string to_text(bool use_color) const;

 private:
  struct Column {
    std::string title;
    Align align;
  };
  struct Row {
    std::vector<std::string> cells;
    Style style;
  };
  std::vector<Column> columns_;
  std::vector<Row> rows_;
};

/// The comparison for a terminal: device, tenants, one row a policy, latencies, bounds, outcome.
std::string report_table(const Comparison& comparison, bool use_color);

/// Whether escape codes may be written to a descriptor: a terminal, no NO_COLOR, TERM not "dumb".
bool wants_color(int file_descriptor);

}  // namespace gacer
