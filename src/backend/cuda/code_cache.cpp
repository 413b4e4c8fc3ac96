#include "backend/cuda/code_cache.h"

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"

namespace gacer::cuda {
namespace {

/// FNV-1a of 64 bits, from one of two beginnings.
std::uint64_t hash_of(std::string_view text, std::uint64_t begin = 0xcbf29ce484222325U) {
  std::uint64_t hash = begin;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash;
}

std::string path_of(const std::string& folder, const std::string& source) {
  return fmt::format("{}/{:016x}{:016x}.cubin", folder, hash_of(source),
                     hash_of(source, 0x9e3779b97f4a7c15U));
}

/// Stands before the code in a file.
std::string header_of(std::string_view code) {
  return fmt::format("gacer code {:016x}\n", hash_of(code));
}

}  // namespace

std::string CodeCache::default_folder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/')
    return std::string(cache) + "/gacer/code";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0')
    return std::string(home) + "/.cache/gacer/code";
  return "";
}

std::optional<std::string> CodeCache::find(const std::string& source) const {
  const std::string path = folder_.empty() ? "" : path_of(folder_, source);
  std::error_code error;
  if (path.empty() || !std::filesystem::is_regular_file(path, error)) return std::nullopt;
  try {
    const std::string file = read_file(path);
    const std::size_t begin = file.find('\n') + 1;
    std::string code = file.substr(begin);
    if (begin == 0 || file.substr(0, begin) != header_of(code)) return std::nullopt;
    return code;
  } catch (const Error&) {  // unreadable: it is compiled anew
    return std::nullopt;
  }
}

void CodeCache::store(const std::string& source, const std::string& code) const {
  if (folder_.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  try {
    write_file_atomically(path_of(folder_, source), header_of(code) + code);
  } catch (const Error&) {  // full or read-only: the next process compiles it again
    return;
  }
}

}  // namespace gacer::cuda
