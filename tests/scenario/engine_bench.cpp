#include <stdexcept>

#include <gacer/engine.h>

#include "tests/scenario/scenario.h"

namespace gacer::test {
namespace {

constexpr char kSim[] = "sim:";

/// Models on a recorded device, through the public interface.
class EngineBench final : public Bench {
 public:
  explicit EngineBench(const Scenario& scenario) : scenario_(scenario), engine_(open(/*seed=*/1)) {}

  Plan make_plan(const PlanRequest& request) override {
    const PolicyLimits limits{request.evaluations, request.measurements, {}};
    return open(request.seed).make_plan(request.policy, limits);
  }
  void verify(const Plan& plan) override { engine_.load(plan); }
  double makespan_ms(const Plan& plan) override {
    engine_.load(plan);
    return engine_.run_round();
  }
  double bound_ms(const std::string& name) override {
    MeasureOptions measure;
    measure.check = false;
    measure.min_rounds = 1;
    const Comparison comparison = engine_.compare({"sequential"}, measure);
    if (name == "critical_path") return comparison.critical_path_ms;
    if (name == "area") return comparison.area_estimate_ms;
    throw std::runtime_error("unknown bound '" + name + "'");
  }

 private:
  Engine open(std::uint64_t seed) const {
    if (!scenario_.device.starts_with(kSim)) {
      throw std::runtime_error("device '" + scenario_.device + "' is not: sim:FILE or made-up");
    }
    EngineOptions options;
    const std::string file = scenario_.device.substr(sizeof kSim - 1);
    options.device =
        kSim + (file.starts_with('/') ? "" : std::string(GACER_SOURCE_DIR) + "/") + file;
    options.use_profile = false;
    options.seed = seed;
    Engine engine(options);
    for (const Tenant& tenant : scenario_.tenants) {
      TenantSpec spec = TenantSpec::parse(tenant.model);
      spec.name = tenant.name;
      engine.add_tenant(spec);
    }
    return engine;
  }

  Scenario scenario_;
  Engine engine_;
};

}  // namespace

std::unique_ptr<Bench> make_engine_bench(const Scenario& scenario) {
  return std::make_unique<EngineBench>(scenario);
}

}  // namespace gacer::test
