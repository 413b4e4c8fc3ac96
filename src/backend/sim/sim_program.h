#pragma once

#include <string>
#include <vector>

#include "cost/step_sim.h"
#include "device/device.h"
#include "profile/recording.h"

namespace gacer::sim {

/// What a step's times are looked up by.
class SimCapture final : public Capture {
 public:
  SimCapture(std::string signature, std::int64_t items, std::string variant, int launches)
      : signature_(std::move(signature)),
        items_(items),
        variant_(std::move(variant)),
        launches_(launches) {}

  const std::string& signature() const { return signature_; }
  std::int64_t items() const { return items_; }
  const std::string& variant() const { return variant_; }
  int num_launches() const override { return launches_; }

 private:
  std::string signature_;
  std::int64_t items_;
  std::string variant_;
  int launches_;
};

/// Steps on a virtual clock. Deterministic.
class SimProgram final : public Program {
 public:
  /// Error{kPlan} when a step's variant was not recorded for its budget.
  SimProgram(const Recording& recording, std::span<const ProgramStep> steps);

  double run() override { return result_.round_ms; }
  int num_launches() const override { return num_launches_; }
  std::vector<StepTime> run_traced() override;

  const std::vector<SimStep>& steps() const { return steps_; }

 private:
  std::vector<SimStep> steps_;
  SimResult result_;
  int num_launches_ = 0;
};

}  // namespace gacer::sim
