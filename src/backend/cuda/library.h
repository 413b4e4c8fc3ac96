#pragma once

#include <atomic>
#include <mutex>
#include <string>

namespace gacer::cuda {

/// A vendor's shared library, opened on first use: a program with this backend starts on machines
/// that have no GPU, and says there what is missing.
class Library {
 public:
  /// `file`: a soname that the dynamic loader finds ("libcuda.so.1"). `needed`: what a user
  /// lacks who lacks it, and where to get that.
  Library(const char* file, const char* needed) : file_(file), needed_(needed) {}
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  /// Empty, or why the library cannot be opened. Thread-safe.
  const std::string& error();
  /// Error{kDevice} when the library or the symbol is missing.
  void* symbol(const char* name);

 private:
  void open();

  const char* file_;
  const char* needed_;
  std::mutex mutex_;
  bool is_opened_ = false;
  void* handle_ = nullptr;
  std::string error_;
};

/// A function of a library that is looked up when it is first called. Declared under the function's
/// own name inside this namespace, it hides the vendor's declaration: calls look as usual.
template <typename Function>
class Entry;

template <typename Result, typename... Args>
class Entry<Result(Args...)> {
 public:
  Entry(Library& (*library)(), const char* name) : library_(library), name_(name) {}
  Result operator()(Args... args) const {
    // Threads that meet here look the same symbol up, nothing more.
    auto function = function_.load(std::memory_order_relaxed);
    if (function == nullptr) {
      function = reinterpret_cast<Result (*)(Args...)>(library_().symbol(name_));
      function_.store(function, std::memory_order_relaxed);
    }
    return function(args...);
  }

 private:
  Library& (*library_)();
  const char* name_;
  mutable std::atomic<Result (*)(Args...)> function_ = nullptr;
};

// The vendor's headers rename functions by macros (cuMemAlloc is cuMemAlloc_v2): expand first.
#define GACER_ENTRY_NAMED(library, name, text) \
  inline const Entry<decltype(::name)> name(library, text)
#define GACER_ENTRY_EXPANDED(library, name) GACER_ENTRY_NAMED(library, name, #name)
#define GACER_ENTRY(library, name) GACER_ENTRY_EXPANDED(library, name)

}  // namespace gacer::cuda
