#include <regex>
#include <sstream>
#include <stdexcept>

#include "cost/model.h"
#include "plan/verify.h"
#include "search/search.h"
#include "tests/scenario/scenario.h"
#include "tests/support/synthetic.h"

namespace gacer::test {
namespace {

/// "synthetic:chain(nodes=50,seed=3)@8,priority=1,repeat=2"
SyntheticTenant parse_synthetic(const Tenant& tenant) {
  static const std::regex kForm(
      R"(synthetic:(chain|branches)\(([^)]*)\)(?:@(\d+))?((?:,\w+=-?\d+)*))");
  std::smatch match;
  if (!std::regex_match(tenant.model, match, kForm)) {
    throw std::runtime_error("tenant '" + tenant.name + "': '" + tenant.model +
                             "' is not synthetic:SHAPE(KEY=N,...)@BATCH");
  }
  SyntheticTenant made;
  made.name = tenant.name;
  made.shape = match[1];
  if (match[3].matched) made.batch = std::stoll(match[3]);
  std::istringstream pairs(match[2].str() + match[4].str());
  for (std::string pair; std::getline(pairs, pair, ',');) {
    const auto equals = pair.find('=');
    const std::string key = pair.substr(0, equals);
    const int value = std::stoi(pair.substr(equals + 1));
    if (key == "nodes")
      made.nodes = value;
    else if (key == "seed")
      made.seed = static_cast<std::uint64_t>(value);
    else if (key == "priority")
      made.priority = value;
    else if (key == "repeat")
      made.repeat = value;
    else
      throw std::runtime_error("tenant '" + tenant.name + "': unknown key '" + key + "'");
  }
  return made;
}

DeviceInfo parse_device(const std::string& text) {
  std::istringstream words(text);
  std::string made_up;
  std::string kind;
  int groups = 0;
  words >> made_up >> kind >> groups;
  if (made_up != "made-up" || (kind != "cpu" && kind != "gpu") || groups < 1) {
    throw std::runtime_error("device '" + text + "' is not: made-up cpu|gpu GROUPS");
  }
  return synthetic_device(kind, groups);
}

class MadeUpBench final : public Bench {
 public:
  explicit MadeUpBench(const Scenario& scenario) {
    std::vector<SyntheticTenant> tenants;
    for (const Tenant& tenant : scenario.tenants) tenants.push_back(parse_synthetic(tenant));
    made_ = make_synthetic(parse_device(scenario.device), tenants);
  }

  Plan make_plan(const PlanRequest& request) override {
    ModelEvaluator model(made_.problem, made_.rows);
    SearchContext context{made_.problem, made_.rows, model};
    context.limits.evaluations = request.evaluations;
    context.limits.measurements = request.measurements;
    context.seed = request.seed;
    if (request.measurements > 0) context.device = &model;
    return find_policy(request.policy).make(context);
  }
  void verify(const Plan& plan) override { verify_plan(made_.problem, plan); }
  double makespan_ms(const Plan& plan) override {
    const auto line = simulate(made_.problem, made_.rows, plan);
    if (!line) throw std::runtime_error(line.reason());
    return line->round_ms;
  }
  double bound_ms(const std::string& name) override {
    const Bounds bounds = compute_bounds(made_.problem, made_.rows);
    if (name == "critical_path") return bounds.critical_path_ms;
    if (name == "area") return bounds.area_estimate_ms;
    throw std::runtime_error("unknown bound '" + name + "'");
  }

 private:
  Synthetic made_;
};

}  // namespace

std::unique_ptr<Bench> make_made_up_bench(const Scenario& scenario) {
  return std::make_unique<MadeUpBench>(scenario);
}

}  // namespace gacer::test
