#include "backend/cpu/system.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <optional>
#include <set>
#include <sstream>

namespace gacer::cpu {
namespace {

constexpr std::int64_t kUnlimited = std::numeric_limits<std::int64_t>::max();

/// First line of a small system file; empty when it does not exist.
std::string read_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::optional<std::int64_t> read_number(const std::string& path) {
  std::ifstream file(path);
  std::int64_t number = 0;
  if (file >> number) return number;
  return std::nullopt;
}

/// The value behind "key   : value" or "key:   123 kB".
std::string find_field(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, key.size(), key) != 0) continue;
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos || line.find_first_not_of(" \t", key.size()) != colon) continue;
    const std::size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

std::int64_t meminfo_bytes(const std::string& key) {
  const std::string text = find_field("/proc/meminfo", key);
  return text.empty() ? 0 : std::stoll(text) * 1024;
}

/// The directory of this process's control group (version 2), or of the root that a container sees.
std::string control_group() {
  const std::string root = "/sys/fs/cgroup";
  const std::string line = read_line("/proc/self/cgroup");
  if (line.compare(0, 3, "0::") != 0) return root;
  const std::string own = root + line.substr(3);
  return std::ifstream(own + "/memory.current").good() ? own : root;
}

std::int64_t memory_limit() {
  if (const auto limit = read_number(control_group() + "/memory.max")) return *limit;
  if (const auto limit = read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes")) return *limit;
  return kUnlimited;
}

std::int64_t memory_used_of_limit() {
  const std::string group = control_group();
  if (const auto used = read_number(group + "/memory.current")) {
    // Page cache that can be dropped does not count.
    std::ifstream stat(group + "/memory.stat");
    std::string key;
    for (std::int64_t value = 0; stat >> key >> value;)
      if (key == "inactive_file") return std::max<std::int64_t>(*used - value, 0);
    return *used;
  }
  return read_number("/sys/fs/cgroup/memory/memory.usage_in_bytes").value_or(0);
}

/// Processors' worth of time that the control group allows.
double quota() {
  std::istringstream line(read_line(control_group() + "/cpu.max"));
  double time = 0;
  double period = 0;
  if (line >> time >> period && period > 0) return time / period;
  return std::numeric_limits<double>::infinity();
}

}  // namespace

std::vector<int> usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return {0};
  std::vector<int> cores;
  std::set<std::string> siblings_seen;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(static_cast<unsigned>(cpu), &set)) continue;
    const std::string siblings = read_line("/sys/devices/system/cpu/cpu" + std::to_string(cpu) +
                                           "/topology/thread_siblings_list");
    if (!siblings.empty() && !siblings_seen.insert(siblings).second) continue;
    cores.push_back(cpu);
  }
  if (const double limit = quota(); limit < static_cast<double>(cores.size()))
    cores.resize(static_cast<std::size_t>(std::max(1.0, std::ceil(limit))));
  return cores;
}

std::string processor_name() {
  const std::string name = find_field("/proc/cpuinfo", "model name");
  return name.empty() ? "CPU" : name;
}

double clock_mhz() {
  const std::string text = find_field("/proc/cpuinfo", "cpu MHz");
  return text.empty() ? 0 : std::stod(text);
}

std::int64_t total_memory_bytes() { return std::min(meminfo_bytes("MemTotal"), memory_limit()); }

std::int64_t free_memory_bytes() {
  const std::int64_t limit = memory_limit();
  const std::int64_t available = meminfo_bytes("MemAvailable");
  if (limit == kUnlimited) return available;
  return std::min(available, std::max<std::int64_t>(limit - memory_used_of_limit(), 0));
}

}  // namespace gacer::cpu
