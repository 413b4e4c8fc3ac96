#include "tools/gacer/output.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "report/html.h"
#include "report/json.h"
#include "report/summary.h"
#include "report/table.h"
#include "report/trace.h"

namespace gacer::cli {
namespace {

/// What the searches said of their plans.
std::string describe_notes(const Comparison& comparison) {
  std::string text;
  for (const PolicyResult& result : comparison.policies) {
    text += fmt::format("\n{}: searched {:.1f} s, predicted {} ms\n", result.policy,
                        result.search_s, format_ms(result.predicted_ms));
    for (const auto& [key, note] : result.plan.notes) text += fmt::format("  {}: {}\n", key, note);
  }
  return text;
}

}  // namespace

void write_result(const std::string& path, const std::string& text) {
  if (path != "-") return write_file_atomically(path, text);
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    fail(ErrorKind::kIo, "cannot write to the standard output: {}", std::strerror(errno));
}

int report_comparison(Session& session, const Comparison& comparison,
                      const std::string& command_line) {
  const Options& options = session.options();
  session.progress().clear();
  const bool is_stdout_taken = options.json == "-" || options.html == "-" || options.trace == "-";
  // What cannot be written does not keep the rest from being written; plans took longest to find.
  std::vector<std::string> failures;
  const auto attempt = [&](const std::string& path, const std::function<void()>& write) {
    if (path.empty()) return;
    try {
      write();
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kIo) throw;
      failures.push_back(error.message());
    }
  };
  if (!options.is_quiet && !is_stdout_taken)
    attempt("-", [&] {
      write_result("-", report_table(comparison, wants_color(STDOUT_FILENO)));
      if (options.is_verbose) write_result("-", describe_notes(comparison));
    });
  const PolicyResult* chosen = chosen_result(comparison);
  if (chosen != nullptr)
    attempt(options.save_plan, [&] { save_plan(chosen->plan, options.save_plan); });
  attempt(options.save_plans, [&] {
    make_folder(options.save_plans);
    for (const PolicyResult& result : comparison.policies)
      save_plan(result.plan,
                options.save_plans + "/" + make_file_name(result.policy + ".plan.json"));
  });
  attempt(options.json, [&] { write_result(options.json, report_json(comparison, command_line)); });
  attempt(options.html, [&] { write_result(options.html, report_html(comparison, command_line)); });
  attempt(options.trace, [&] { write_result(options.trace, report_trace(comparison)); });
  if (chosen != nullptr)
    attempt(options.output, [&] { session.write_outputs(chosen->plan, options.output); });
  if (!failures.empty()) fail(ErrorKind::kIo, "{}", fmt::join(failures, "\n"));

  int code = 0;
  for (const PolicyResult& result : comparison.policies) {
    if (!result.is_checked || result.outputs_match) continue;
    fmt::print(stderr,
               "gacer: the outputs of the {} plan differ from the sequential plan's by {:.1e}\n",
               result.policy, result.max_rel_error);
    code = exit_code(ErrorKind::kInternal);
  }
  return code;
}

}  // namespace gacer::cli
