#include "backend/cpu/loops/loop_kernel.h"

#include <optional>
#include <utility>

#include "backend/cpu/variant_key.h"
#include "base/error.h"

namespace gacer::cpu {
namespace {

class PlannedLoops final : public Kernel {
 public:
  PlannedLoops(const KernelCall& call, int threads, LoopWork work, std::size_t workspace_bytes)
      : name_(call.node.op),
        threads_(threads),
        work_(std::move(work)),
        workspace_bytes_(workspace_bytes) {
    for (std::size_t i = 0; i < call.inputs.size(); ++i) {
      const Tensor* constant = call.constant(static_cast<int>(i));
      constants_.push_back(constant != nullptr ? std::optional<Tensor>(*constant) : std::nullopt);
      is_absent_.push_back(call.inputs[i].is_absent);
    }
  }

  std::size_t workspace_bytes() const override { return workspace_bytes_; }
  bool reads_input(int input) const override {
    const auto i = static_cast<std::size_t>(input);
    return !constants_[i] && !is_absent_[i];
  }

  void record(const Bindings& bindings, Recorder& recorder) const override {
    auto& cpu_recorder = dynamic_cast<CpuRecorder&>(recorder);
    cpu_recorder.set_team_size(threads_);
    Bindings bound = bindings;
    for (std::size_t i = 0; i < constants_.size(); ++i)
      if (constants_[i]) bound.inputs[i] = const_cast<std::byte*>(constants_[i]->bytes());
    cpu_recorder.add(
        name_, [work = work_, bound = std::move(bound)](StepTeam& team) { work(bound, team); });
  }

 private:
  std::string name_;
  int threads_;
  LoopWork work_;
  std::size_t workspace_bytes_;
  std::vector<std::optional<Tensor>> constants_;
  std::vector<bool> is_absent_;
};

}  // namespace

std::vector<std::string> LoopKernel::variants(const KernelCall& /*call*/, int width) const {
  return {VariantKey{std::string(kLoopFamily), width, std::string(name())}.to_string()};
}

std::unique_ptr<Kernel> LoopKernel::prepare(const KernelCall& call, const std::string& key) const {
  const auto parsed = parse_variant_key(key, kLoopFamily);
  if (!parsed || parsed->detail != name())
    fail(ErrorKind::kUnsupported, "'{}' is no variant of {}", key, name());
  Plan planned = plan(call, parsed->threads);
  return std::make_unique<PlannedLoops>(call, parsed->threads, std::move(planned.work),
                                        planned.workspace_bytes);
}

}  // namespace gacer::cpu
