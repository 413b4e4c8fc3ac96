#pragma once

#include <string>
#include <string_view>

namespace gacer {

/// The whole file. Error{kIo} names the path and the system's reason.
std::string read_file(const std::string& path);

/// Writes `bytes` under a temporary name beside `path`, then renames: whoever reads `path` sees the
/// old file or the whole new one, and a failure (full disk) leaves no partial file. What exists and
/// is no regular file (/dev/stdout, a pipe) is written to directly. Error{kIo} names the path and
/// the system's reason.
void write_file_atomically(const std::string& path, std::string_view bytes);

}  // namespace gacer
