#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace gacer {

/// A whole file mapped read-only. Its pages are the file's: they cost no memory of their own and
/// can be dropped and read again.
class MappedFile {
 public:
  /// Error{kIo} when the file cannot be opened, is not a regular file, or cannot be mapped.
  static std::shared_ptr<const MappedFile> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  /// Tells the system that these bytes are not needed for now.
  void release(std::span<const std::byte> part) const;

 private:
  MappedFile(const std::byte* data, std::size_t size) : data_(data), size_(size) {}
  const std::byte* data_;
  std::size_t size_;
};

}  // namespace gacer
