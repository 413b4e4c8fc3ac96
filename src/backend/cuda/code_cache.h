#pragma once

#include <optional>
#include <string>

namespace gacer::cuda {

/// Compiled code on disk, by what it was compiled from: a file each, written atomically. Best
/// effort: a folder that cannot be read or written is as good as an empty one.
class CodeCache {
 public:
  /// An empty folder name: nothing is kept.
  explicit CodeCache(std::string folder) : folder_(std::move(folder)) {}
  /// "$XDG_CACHE_HOME/gacer/code" or "$HOME/.cache/gacer/code"; empty when neither is set.
  static std::string default_folder();

  /// What store() kept for this text; nothing for files that are damaged.
  std::optional<std::string> find(const std::string& source) const;
  void store(const std::string& source, const std::string& code) const;

 private:
  std::string folder_;
};

}  // namespace gacer::cuda
