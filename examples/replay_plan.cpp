// Searches a plan in one engine, saves it, and replays it in another one without any measurement:
// what a service does that plans once and starts often.
//
//   replay_plan PLAN.json [MODEL…]
#include <cstdio>
#include <string>
#include <vector>

#include <gacer/engine.h>
#include <gacer/error.h>

namespace {

gacer::Engine open_engine(const std::vector<std::string>& models) {
  gacer::Engine engine(gacer::EngineOptions{});
  for (const std::string& model : models) engine.add_tenant(gacer::TenantSpec::parse(model));
  return engine;
}

void run(const std::string& path, const std::vector<std::string>& models) {
  {
    gacer::Engine engine = open_engine(models);
    gacer::PolicyLimits limits;
    limits.measurements = 10;
    const gacer::Plan plan = engine.make_plan("gacer", limits);
    gacer::save_plan(plan, path);
    const gacer::PlanSummary summary = gacer::summarize(plan);
    std::printf("saved %s: %zu steps, %zu chunks, %zu budgets, %zu sync points\n", path.c_str(),
                summary.steps, summary.chunks, summary.budgets, summary.sync_points);
  }

  // A plan is refused when the model, the device or a library is not what it was made for.
  gacer::Engine engine = open_engine(models);
  const gacer::Plan plan = gacer::load_plan(path);
  gacer::MeasureOptions options;
  options.time = std::chrono::milliseconds(300);
  options.beside_simple = false;
  const gacer::Comparison comparison = engine.measure(plan, options);
  const gacer::PolicyResult& result = comparison.policies.front();
  std::printf("replayed: %.3f ms a round (median of %d), %d launches, outputs %s\n",
              result.median_ms, result.rounds, result.launches,
              result.outputs_match ? "match the sequential plan's" : "DIFFER");
  for (const gacer::TenantResult& tenant : result.tenants)
    std::printf("  %s: %.3f ms, %.1f items/s\n", tenant.name.c_str(), tenant.latency_median_ms,
                tenant.items_per_s);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s PLAN.json [MODEL…]\n", argv[0]);
    return 2;
  }
  std::vector<std::string> models(argv + 2, argv + argc);
  if (models.empty()) models = {"zoo:resnet18", "zoo:alexnet"};
  try {
    run(argv[1], models);
  } catch (const gacer::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return gacer::exit_code(error.kind());
  }
  return 0;
}
