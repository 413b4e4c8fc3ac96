#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "base/error.h"

namespace gacer {
namespace {

/// A file descriptor that closes itself.
class File {
 public:
  File(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  bool is_open() const { return fd_ >= 0; }
  int get() const { return fd_; }
  /// Closes now: some file systems report a failed write only here.
  bool close() { return ::close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

bool write_all(const File& file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

[[noreturn]] void fail_write(const std::string& path, int error) {
  fail(ErrorKind::kIo, "cannot write '{}': {}", path, ::strerror(error));
}

}  // namespace

std::string read_file(const std::string& path) {
  const File file(path, O_RDONLY);
  std::string bytes;
  std::array<char, 1 << 16> block;
  while (file.is_open()) {
    const ssize_t count = ::read(file.get(), block.data(), block.size());
    if (count == 0) return bytes;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) break;
    bytes.append(block.data(), static_cast<std::size_t>(count));
  }
  fail(ErrorKind::kIo, "cannot read '{}': {}", path, ::strerror(errno));
}

void write_file_atomically(const std::string& path, std::string_view bytes) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    File file(path, O_WRONLY);
    if (!file.is_open() || !write_all(file, bytes) || !file.close()) fail_write(path, errno);
    return;
  }
  const std::string temporary = fmt::format("{}.tmp{}", path, ::getpid());
  File file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
  if (!file.is_open()) fail_write(path, errno);
  if (!write_all(file, bytes) || !file.close() || ::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary.c_str());
    fail_write(path, error);
  }
}

}  // namespace gacer
