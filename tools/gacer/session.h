#pragma once

#include <memory>
#include <string>
#include <vector>

#include <gacer/engine.h>

#include "tools/gacer/options.h"
#include "tools/gacer/progress.h"

namespace gacer::cli {

/// An engine with the command line's tenants and inputs, and the progress of its work on stderr.
class Session {
 public:
  /// Opens the device and loads the models. When `plan` is given and no MODEL is named, the tenants
  /// are the plan's.
  explicit Session(const Options& options, const Plan* plan = nullptr);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Engine& engine() { return *engine_; }
  ProgressView& progress() { return *progress_; }
  const Options& options() const { return options_; }
  /// Host time that the constructor took for the device and for the models. Libraries that open in
  /// the background may still be at it.
  double open_s() const { return open_s_; }
  double models_s() const { return models_s_; }

  /// Runs one round of a plan and writes every tenant's outputs to a folder, made when missing.
  void write_outputs(const Plan& plan, const std::string& folder);

 private:
  void set_input(const std::string& argument);

  const Options& options_;
  std::unique_ptr<ProgressView> progress_;
  std::unique_ptr<Engine> engine_;
  double open_s_ = 0;
  double models_s_ = 0;
};

/// A name as a file's: names of outputs and of a file's plans may hold what names of files may not.
std::string make_file_name(std::string name);
/// Makes a folder and those above it when missing. Error{kIo}.
void make_folder(const std::string& folder);

/// The MODEL of a plan's tenant, as far as a plan knows it.
TenantSpec spec_of(const PlanTenant& tenant);

}  // namespace gacer::cli
