#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

// The part of CLI11 that commands use. Its header takes as long to compile as a dozen commands, so
// only command_line.cpp and tool.cpp include it.
namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace gacer::cli {

/// A handle of one option or positional argument; copies are the same option.
class CommandOption {
 public:
  explicit CommandOption(CLI::Option* option) : option_(option) {}

  const CommandOption& type_name(const std::string& name) const;
  const CommandOption& group(const std::string& name) const;
  const CommandOption& required() const;
  /// Shows the variable's present value as the default.
  const CommandOption& capture_default_str() const;
  /// Repeating it adds values.
  const CommandOption& take_all() const;
  /// Whether one mention takes several arguments.
  const CommandOption& allow_extra_args(bool allowed) const;
  const CommandOption& delimiter(char between_values) const;
  const CommandOption& excludes(const CommandOption& other) const;
  /// Sets a flag when the option is on the command line.
  const CommandOption& marks(bool& is_given) const;
  const CommandOption& needs(const CommandOption& other) const;
  const CommandOption& one_of(std::initializer_list<std::string_view> values) const;
  /// Numbers from `low` to `high`, both allowed.
  const CommandOption& in_range(std::int64_t low, std::int64_t high) const;

 private:
  CLI::Option* option_;
};

/// A handle of a command; copies are the same command. The variables that options are bound to
/// outlive the parsing.
class Command {
 public:
  explicit Command(CLI::App& app) : app_(&app) {}

  Command add_command(const std::string& name, const std::string& description) const;
  /// `names` as in "-d,--device"; without a dash it is a positional argument.
  CommandOption add_option(const std::string& names, std::string& value,
                           const std::string& description) const;
  CommandOption add_option(const std::string& names, std::vector<std::string>& value,
                           const std::string& description) const;
  CommandOption add_option(const std::string& names, int& value,
                           const std::string& description) const;
  CommandOption add_option(const std::string& names, std::int64_t& value,
                           const std::string& description) const;
  CommandOption add_option(const std::string& names, std::uint64_t& value,
                           const std::string& description) const;
  CommandOption add_flag(const std::string& names, bool& value,
                         const std::string& description) const;
  /// Text below the help.
  void footer(const std::string& text) const;
  /// Called when the command was chosen and its options are set.
  void callback(std::function<void()> chosen) const;

 private:
  CLI::App* app_;
};

}  // namespace gacer::cli
