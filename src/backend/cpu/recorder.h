#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/cpu/workers.h"
#include "device/device.h"

namespace gacer::cpu {

/// One launch: work for a team, already bound to its addresses.
struct Launch {
  std::function<void(StepTeam& team)> work;
  std::string footprint;
};

/// Where CPU kernels record. A kernel states the team that it was built for: oneDNN primitives are
/// right for that number of threads only.
class CpuRecorder final : public Recorder {
 public:
  void set_team_size(int size) { team_size_ = size; }
  void add(std::string_view footprint, std::function<void(StepTeam& team)> work) {
    launches_.push_back({std::move(work), std::string(footprint)});
  }

 private:
  friend class CpuCapture;
  int team_size_ = 1;
  std::vector<Launch> launches_;
};

class CpuCapture final : public Capture {
 public:
  explicit CpuCapture(CpuRecorder recorder)
      : team_size_(recorder.team_size_), launches_(std::move(recorder.launches_)) {}

  int num_launches() const override { return static_cast<int>(launches_.size()); }
  std::vector<std::string> footprint() const override {
    std::vector<std::string> lines;
    for (const Launch& launch : launches_) lines.push_back(launch.footprint);
    return lines;
  }
  int team_size() const { return team_size_; }
  void run(StepTeam& team) const {
    for (const Launch& launch : launches_) launch.work(team);
  }

 private:
  int team_size_;
  std::vector<Launch> launches_;
};

}  // namespace gacer::cpu
