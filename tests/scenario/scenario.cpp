#include "tests/scenario/scenario.h"

#include <sstream>
#include <stdexcept>

#include <fmt/format.h>

namespace gacer::test {
namespace {

class Parser {
 public:
  Parser(const std::string& file, const std::string& text) : file_(file), in_(text) {}

  Scenario parse() {
    std::string line;
    while (std::getline(in_, line)) {
      ++line_;
      if (const auto comment = line.find('#'); comment != std::string::npos) line.resize(comment);
      std::istringstream words(line);
      std::string verb;
      if (!(words >> verb)) continue;
      std::string rest;
      std::getline(words >> std::ws, rest);
      while (!rest.empty() && std::isspace(static_cast<unsigned char>(rest.back())))
        rest.pop_back();
      if (rest.empty()) reject("nothing follows '" + verb + "'");
      if (verb == "device") {
        scenario_.device = rest;
      } else if (verb == "tenant") {
        parse_tenant(rest);
      } else if (verb == "plan") {
        parse_plan_line(rest);
      } else if (verb == "expect") {
        parse_expectation(rest);
      } else {
        reject("unknown word '" + verb + "'");
      }
    }
    if (scenario_.device.empty()) reject("no device");
    if (scenario_.tenants.empty()) reject("no tenant");
    if (scenario_.plan.policy.empty()) reject("no plan with a policy");
    if (scenario_.expectations.empty()) reject("nothing is expected");
    return scenario_;
  }

 private:
  [[noreturn]] void reject(const std::string& what) const {
    throw std::runtime_error(fmt::format("{}:{}: {}", file_, line_, what));
  }

  void parse_tenant(const std::string& rest) {
    const auto space = rest.find(' ');
    if (space == std::string::npos) reject("expected: tenant NAME MODEL");
    scenario_.tenants.push_back(
        {rest.substr(0, space), rest.substr(rest.find_first_not_of(' ', space))});
  }

  void parse_plan_line(const std::string& rest) {
    std::istringstream words(rest);
    for (std::string word; words >> word;) {
      const auto equals = word.find('=');
      const std::string key = word.substr(0, equals);
      const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
      if (value.empty()) reject("expected KEY=VALUE, found '" + word + "'");
      if (key == "policy")
        scenario_.plan.policy = value;
      else if (key == "seed")
        scenario_.plan.seed = std::stoull(value);
      else if (key == "evaluations")
        scenario_.plan.evaluations = std::stoll(value);
      else if (key == "measurements")
        scenario_.plan.measurements = std::stoll(value);
      else
        reject("unknown key '" + key + "'");
    }
  }

  void parse_expectation(const std::string& rest) {
    Expectation expectation;
    expectation.line = line_;
    expectation.text = rest;
    std::istringstream words(rest);
    words >> expectation.subject >> expectation.op;
    const bool has_right = !expectation.op.empty();
    if (has_right && expectation.op != "<=" && expectation.op != ">=") {
      reject("expected <= or >=, found '" + expectation.op + "'");
    }
    std::string first;
    if (words >> first) {
      expectation.right = first;
      std::string star;
      if (words >> star) {
        if (star != "*" || !(words >> expectation.right)) reject("expected FACTOR * RIGHT");
        expectation.factor = std::stod(first);
      }
    }
    if (has_right && expectation.right.empty()) reject("nothing to compare with");
    if (!has_right && expectation.subject != "valid" && expectation.subject != "deterministic") {
      reject("'" + expectation.subject + "' needs a comparison");
    }
    scenario_.expectations.push_back(expectation);
  }

  std::string file_;
  std::istringstream in_;
  int line_ = 0;
  Scenario scenario_;
};

}  // namespace

Scenario parse_scenario(const std::string& file, const std::string& text) {
  return Parser(file, text).parse();
}

}  // namespace gacer::test
