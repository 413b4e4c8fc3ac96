// Two models share the CPU: searches a plan, runs a few rounds and reads the results.
//
//   two_models [MODEL MODEL]     MODEL: a path to an ONNX file, or zoo:NAME, e.g. zoo:resnet18@4
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include <gacer/engine.h>
#include <gacer/error.h>

namespace {

/// The largest element of a float tensor and its index.
void print_top(const gacer::Engine& engine, int tenant) {
  const gacer::Engine::Port port = engine.outputs(tenant).front();
  if (port.dtype != gacer::DType::kF32) return;
  const gacer::Tensor output = engine.output(tenant, port.name);
  const auto values = output.data<float>();
  const auto top = std::max_element(values.begin(), values.end());
  std::printf("  %s: %s %s, largest element %.4f at %td\n",
              engine.tenants()[static_cast<std::size_t>(tenant)].name.c_str(), port.name.c_str(),
              port.shape.to_string().c_str(), static_cast<double>(*top), top - values.begin());
}

void run(const std::vector<std::string>& models) {
  gacer::EngineOptions options;
  options.device = "cpu";
  gacer::Engine engine(options);
  std::vector<int> tenants;
  for (const std::string& model : models)
    tenants.push_back(engine.add_tenant(gacer::TenantSpec::parse(model)));

  // The first run on a machine measures kernels; the profile is kept in the user's cache.
  engine.load(engine.make_plan("auto"));
  std::printf("plan '%s' with %zu steps\n", engine.plan().policy.c_str(),
              engine.plan().num_steps());

  // Inputs that are not set are random. This sets the first one of the first tenant.
  const gacer::Engine::Port port = engine.inputs(tenants[0]).front();
  if (port.dtype == gacer::DType::kF32) {
    gacer::Tensor image(port.dtype, port.shape);
    for (float& x : image.mutable_data<float>()) x = 0.5F;
    engine.set_input(tenants[0], port.name, image);
  }
  for (int round = 0; round < 5; ++round)
    std::printf("round %d: %.3f ms\n", round, engine.run_round());
  for (const int tenant : tenants) print_top(engine, tenant);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> models(argv + 1, argv + argc);
  if (models.empty()) models = {"zoo:mobilenet_v3_large", "zoo:resnet18"};
  try {
    run(models);
  } catch (const gacer::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return gacer::exit_code(error.kind());
  }
  return 0;
}
