#include "tools/gacer/session.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/error.h"
#include "report/table.h"
#include "tools/gacer/interrupt.h"
#include "tools/gacer/npy.h"

namespace gacer::cli {
namespace {

std::string list_names(const std::vector<Engine::Port>& ports) {
  std::string text;
  for (const Engine::Port& port : ports)
    text += fmt::format("{}'{}' {} {}", text.empty() ? "" : ", ", port.name, to_string(port.dtype),
                        port.shape.to_string());
  return text;
}

/// A file must have a place before minutes are spent on what goes into it.
void require_place(const std::string& path) {
  namespace fs = std::filesystem;
  if (path.empty() || path == "-") return;
  std::error_code error;  // what cannot be looked at is not there
  if (fs::is_directory(path, error))
    fail(ErrorKind::kIo, "cannot write '{}': it is a folder", path);
  if (fs::exists(path, error) && !fs::is_regular_file(path, error)) return;  // a device or a pipe
  const std::string folder = fs::path(path).parent_path().string();
  if (!folder.empty() && !fs::is_directory(folder, error))
    fail(ErrorKind::kIo, "cannot write '{}': there is no folder '{}'", path, folder);
  // Files are replaced whole, by one that is made beside them.
  if (access(folder.empty() ? "." : folder.c_str(), W_OK) != 0)
    fail(ErrorKind::kIo, "cannot write '{}': its folder cannot be written to", path);
}

/// The same for a folder, which is made with those above it when files go there.
void require_folder_place(const std::string& folder) {
  namespace fs = std::filesystem;
  if (folder.empty()) return;
  std::error_code error;
  fs::path there = fs::absolute(folder);
  while (!fs::exists(there, error) && there.has_relative_path()) there = there.parent_path();
  if (!fs::is_directory(there, error))
    fail(ErrorKind::kIo, "cannot make the folder '{}': '{}' is no folder", folder, there.string());
  if (access(there.c_str(), W_OK) != 0)
    fail(ErrorKind::kIo, "cannot write to the folder '{}': '{}' cannot be written to", folder,
         there.string());
}

/// Every place where results go.
void require_places(const Options& options) {
  for (const std::string& path :
       {options.json, options.html, options.trace, options.save_plan, options.record})
    require_place(path);
  for (const std::string& folder : {options.save_plans, options.output})
    require_folder_place(folder);
}

}  // namespace

std::string make_file_name(std::string name) {
  std::ranges::replace_if(
      name, [](char c) { return c == '/' || c == '\0'; }, '_');
  return name;
}

void make_folder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail(ErrorKind::kIo, "cannot make the folder '{}': {}", folder, error.message());
}

TenantSpec spec_of(const PlanTenant& tenant) {
  TenantSpec spec;
  spec.model = tenant.model;
  spec.name = tenant.name;
  spec.mode = tenant.mode == "train" ? TenantMode::kTrain : TenantMode::kInfer;
  spec.batch = tenant.batch;
  spec.dims = tenant.dims;
  spec.priority = tenant.priority;
  spec.repeat = tenant.repeat;
  return spec;
}

Session::Session(const Options& options, const Plan* plan) : options_(options) {
  // The engine looks at the flag; commands without one end where a signal meets them.
  install_interrupt_handler();
  // Every argument is read before anything expensive begins.
  std::vector<TenantSpec> specs;
  for (const std::string& model : options.models) specs.push_back(TenantSpec::parse(model));
  if (specs.empty() && plan != nullptr)
    for (const PlanTenant& tenant : plan->tenants) specs.push_back(spec_of(tenant));
  if (specs.empty()) fail(ErrorKind::kUsage, "no MODEL is given");
  require_places(options);
  if (!options.output.empty() && options.device.starts_with("sim:"))
    fail(ErrorKind::kUsage, "--output '{}': a simulated device computes nothing", options.output);

  progress_ = std::make_unique<ProgressView>(ProgressView::mode_of(STDERR_FILENO, options.is_quiet),
                                             wants_color(STDERR_FILENO));
  EngineOptions engine_options = options.engine();
  engine_options.read_ahead = specs;
  engine_options.on_progress = [view = progress_.get()](const Progress& progress) {
    view->update(progress);
  };
  // A process that measures for another one announces its warnings there.
  if (options.announce_descriptor < 0)
    engine_options.on_warning = [view = progress_.get()](const std::string& text) {
      view->warn(text);
    };
  try {
    const AddsSeconds adds(open_s_);
    engine_ = std::make_unique<Engine>(std::move(engine_options));
  } catch (Error& error) {
    if (plan != nullptr && !options.is_device_given)
      error.add_context(fmt::format("the device of the plan, '{}'", plan->device_id));
    throw;
  }
  const AddsSeconds adds(models_s_);
  for (const TenantSpec& spec : specs) engine_->add_tenant(spec);
  for (const std::string& input : options.inputs) set_input(input);
}

void Session::set_input(const std::string& argument) {
  const std::size_t equals = argument.find('=');
  if (equals == std::string::npos)
    fail(ErrorKind::kUsage, "--input '{}' is not TENANT:NAME=FILE.npy", argument);
  std::string name = argument.substr(0, equals);
  const std::vector<TenantInfo>& tenants = engine_->tenants();
  // Names of inputs may hold colons; names of tenants come first.
  int tenant = tenants.size() == 1 ? 0 : -1;
  for (std::size_t i = 0; i < tenants.size(); ++i) {
    if (!name.starts_with(tenants[i].name + ":")) continue;
    tenant = static_cast<int>(i);
    name = name.substr(tenants[i].name.size() + 1);
    break;
  }
  if (tenant < 0) {
    std::string known;
    for (const TenantInfo& info : tenants) known += (known.empty() ? "" : ", ") + info.name;
    fail(ErrorKind::kUsage, "--input '{}' begins with no tenant's name; tenants are {}", argument,
         known);
  }
  const std::vector<Engine::Port> ports = engine_->inputs(tenant);
  if (std::ranges::find(ports, name, &Engine::Port::name) == ports.end())
    fail(ErrorKind::kUsage, "tenant '{}' has no input '{}'; its inputs are {}",
         tenants[static_cast<std::size_t>(tenant)].name, name, list_names(ports));
  engine_->set_input(tenant, name, read_npy(argument.substr(equals + 1)));
}

void Session::write_outputs(const Plan& plan, const std::string& folder) {
  make_folder(folder);
  engine_->load(plan);
  engine_->run_round();
  for (std::size_t i = 0; i < engine_->tenants().size(); ++i) {
    const int tenant = static_cast<int>(i);
    for (const Engine::Port& port : engine_->outputs(tenant)) {
      const std::filesystem::path path =
          std::filesystem::path(folder) /
          make_file_name(fmt::format("{}.{}.npy", engine_->tenants()[i].name, port.name));
      write_npy(path.string(), engine_->output(tenant, port.name));
    }
  }
}

}  // namespace gacer::cli
