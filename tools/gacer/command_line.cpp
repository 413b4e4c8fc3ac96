#include "tools/gacer/command_line.h"

#include <utility>

#include <CLI/CLI.hpp>

namespace gacer::cli {

const CommandOption& CommandOption::type_name(const std::string& name) const {
  option_->type_name(name);
  return *this;
}

const CommandOption& CommandOption::group(const std::string& name) const {
  option_->group(name);
  return *this;
}

const CommandOption& CommandOption::required() const {
  option_->required();
  return *this;
}

const CommandOption& CommandOption::capture_default_str() const {
  option_->capture_default_str();
  return *this;
}

const CommandOption& CommandOption::take_all() const {
  option_->take_all();
  return *this;
}

const CommandOption& CommandOption::allow_extra_args(bool allowed) const {
  option_->allow_extra_args(allowed);
  return *this;
}

const CommandOption& CommandOption::delimiter(char between_values) const {
  option_->delimiter(between_values);
  return *this;
}

const CommandOption& CommandOption::excludes(const CommandOption& other) const {
  option_->excludes(other.option_);
  return *this;
}

const CommandOption& CommandOption::needs(const CommandOption& other) const {
  option_->needs(other.option_);
  return *this;
}

const CommandOption& CommandOption::marks(bool& is_given) const {
  option_->each([&is_given](const std::string&) { is_given = true; });
  return *this;
}

// Without a description the help shows the type's name alone.
const CommandOption& CommandOption::one_of(std::initializer_list<std::string_view> values) const {
  option_->check(
      CLI::IsMember(std::vector<std::string>(values.begin(), values.end())).description(""));
  return *this;
}

const CommandOption& CommandOption::in_range(std::int64_t low, std::int64_t high) const {
  option_->check(CLI::Range(low, high).description(""));
  return *this;
}

Command Command::add_command(const std::string& name, const std::string& description) const {
  return Command(*app_->add_subcommand(name, description));
}

CommandOption Command::add_option(const std::string& names, std::string& value,
                                  const std::string& description) const {
  return CommandOption(app_->add_option(names, value, description));
}

CommandOption Command::add_option(const std::string& names, std::vector<std::string>& value,
                                  const std::string& description) const {
  return CommandOption(app_->add_option(names, value, description));
}

CommandOption Command::add_option(const std::string& names, int& value,
                                  const std::string& description) const {
  return CommandOption(app_->add_option(names, value, description));
}

CommandOption Command::add_option(const std::string& names, std::int64_t& value,
                                  const std::string& description) const {
  return CommandOption(app_->add_option(names, value, description));
}

// CLI11 would take -1 for the largest number.
CommandOption Command::add_option(const std::string& names, std::uint64_t& value,
                                  const std::string& description) const {
  CLI::Option* option = app_->add_option(names, value, description);
  option->check(CLI::Validator(CLI::NonNegativeNumber).description(""));
  return CommandOption(option);
}

CommandOption Command::add_flag(const std::string& names, bool& value,
                                const std::string& description) const {
  return CommandOption(app_->add_flag(names, value, description));
}

void Command::footer(const std::string& text) const { app_->footer(text); }

void Command::callback(std::function<void()> chosen) const { app_->callback(std::move(chosen)); }

}  // namespace gacer::cli
