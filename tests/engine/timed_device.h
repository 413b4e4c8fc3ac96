#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "tests/engine/forwarding_device.h"

namespace gacer::testing {

/// Another's kernels for one core, on any width, under names before their keys; `make` says what
/// runs under a name.
class RenamedImpl final : public KernelImpl {
 public:
  using Supports = std::function<Result<void>(const KernelCall& call)>;
  using Make = std::function<std::unique_ptr<Kernel>(
      const std::string& name, const KernelCall& call, std::unique_ptr<Kernel> kernel)>;
  RenamedImpl(const KernelImpl& inner, std::vector<std::string> names, Supports supports, Make make)
      : inner_(inner),
        names_(std::move(names)),
        supports_(std::move(supports)),
        make_(std::move(make)) {}
  std::string_view name() const override { return inner_.name(); }
  Result<void> supports(const KernelCall& call) const override {
    if (Result<void> own = supports_(call); !own) return own;
    return inner_.supports(call);
  }
  std::vector<std::string> variants(const KernelCall& call, int /*width*/) const override {
    std::vector<std::string> keys;
    for (const std::string& name : names_)
      for (const std::string& key : inner_.variants(call, /*width=*/1))
        keys.push_back(fmt::format("{}+{}", name, key));
    return keys;
  }
  std::unique_ptr<Kernel> prepare(const KernelCall& call, const std::string& key) const override {
    const std::size_t end = key.find('+');
    return make_(key.substr(0, end), call, inner_.prepare(call, key.substr(end + 1)));
  }

 private:
  const KernelImpl& inner_;
  std::vector<std::string> names_;
  Supports supports_;
  Make make_;
};

/// A kernel with a name that devices of tests know it by.
class NamedKernel : public Kernel {
 public:
  NamedKernel(std::string name, std::unique_ptr<Kernel> inner)
      : name_(std::move(name)), inner_(std::move(inner)) {}
  const std::string& name() const { return name_; }
  std::size_t workspace_bytes() const override { return inner_->workspace_bytes(); }
  bool reads_input(int input) const override { return inner_->reads_input(input); }
  void record(const Bindings& bindings, Recorder& recorder) const override {
    inner_->record(bindings, recorder);
  }

 private:
  std::string name_;
  std::unique_ptr<Kernel> inner_;
};

/// Computes in plain loops on one core and takes the time that a test says, on 16 groups that
/// variants are not tied to.
class TimedDevice : public ForwardingDevice {
 public:
  /// Milliseconds of a program of these steps.
  virtual double time_of(std::span<const ProgramStep> steps) const = 0;
  /// A program has run.
  virtual void after_run() {}

  const DeviceInfo& info() const override { return info_; }
  bool is_width_fixed() const override { return false; }
  std::vector<int> widths() const override { return {info_.num_groups, info_.num_groups / 4}; }

  std::span<const KernelImpl* const> kernels() const override { return kernels_; }
  std::unique_ptr<Capture> capture(const Kernel& kernel, const Bindings& bindings) override {
    auto made = ForwardingDevice::capture(kernel, bindings);
    names_.erase(made.get());  // of one that is gone
    if (const auto* named = dynamic_cast<const NamedKernel*>(&kernel))
      names_[made.get()] = named->name();
    return made;
  }
  std::unique_ptr<Program> assemble(std::span<const ProgramStep> steps) override {
    std::vector<ProgramStep> on_one_core(steps.begin(), steps.end());
    for (ProgramStep& step : on_one_core) step.budget = {0, 1};
    return std::make_unique<TimedProgram>(*this, ForwardingDevice::assemble(on_one_core),
                                          time_of(steps));
  }

 protected:
  /// Offers the CPU's kernels under names; see RenamedImpl.
  void add_kernels(const std::vector<std::string>& names, const RenamedImpl::Supports& supports,
                   const RenamedImpl::Make& make) {
    for (const KernelImpl* impl : ForwardingDevice::kernels()) {
      owned_.push_back(std::make_unique<RenamedImpl>(*impl, names, supports, make));
      kernels_.push_back(owned_.back().get());
    }
  }
  /// Of the NamedKernel that was captured, or empty.
  std::string name_of(const Capture* capture) const {
    const auto found = names_.find(capture);
    return found == names_.end() ? std::string() : found->second;
  }

 private:
  class TimedProgram final : public Program {
   public:
    TimedProgram(TimedDevice& device, std::unique_ptr<Program> inner, double ms)
        : device_(device), inner_(std::move(inner)), ms_(ms) {}
    double run() override {
      inner_->run();
      device_.after_run();
      return ms_;
    }
    int num_launches() const override { return inner_->num_launches(); }
    std::vector<StepTime> run_traced() override { return inner_->run_traced(); }

   private:
    TimedDevice& device_;
    std::unique_ptr<Program> inner_;
    double ms_;
  };

  std::vector<std::unique_ptr<RenamedImpl>> owned_;
  std::vector<const KernelImpl*> kernels_;
  std::map<const Capture*, std::string> names_;
  DeviceInfo info_ = [this] {
    DeviceInfo info = ForwardingDevice::info();
    info.num_groups = 16;
    return info;
  }();
};

}  // namespace gacer::testing
