#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <gacer/plan.h>

namespace gacer::test {

struct Tenant {
  std::string name;
  std::string model;
};

struct PlanRequest {
  std::string policy;
  std::uint64_t seed = 1;
  std::int64_t evaluations = 2000;
  std::int64_t measurements = 0;
};

/// "expect SUBJECT [OP [FACTOR *] RIGHT]"
struct Expectation {
  int line = 0;
  std::string text;
  std::string subject;
  std::string op;
  double factor = 1;
  std::string right;  ///< "policy:NAME", "bound:NAME" or a number
};

struct Scenario {
  std::string device;
  std::vector<Tenant> tenants;
  PlanRequest plan;
  std::vector<Expectation> expectations;
};

/// Throws std::runtime_error with file and line.
Scenario parse_scenario(const std::string& file, const std::string& text);

/// Tenants on a device, as scenarios need them.
class Bench {
 public:
  virtual ~Bench() = default;
  virtual Plan make_plan(const PlanRequest& request) = 0;
  /// Throws when the plan is illegal.
  virtual void verify(const Plan& plan) = 0;
  virtual double makespan_ms(const Plan& plan) = 0;
  /// "critical_path", "area"
  virtual double bound_ms(const std::string& name) = 0;
};

std::unique_ptr<Bench> make_made_up_bench(const Scenario& scenario);
std::unique_ptr<Bench> make_engine_bench(const Scenario& scenario);

}  // namespace gacer::test
