#include <utility>

#include <gacer/error.h>

namespace gacer {

const char* to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kUsage:
      return "usage";
    case ErrorKind::kModel:
      return "model";
    case ErrorKind::kPlan:
      return "plan";
    case ErrorKind::kUnsupported:
      return "unsupported";
    case ErrorKind::kOutOfMemory:
      return "out of memory";
    case ErrorKind::kDevice:
      return "device";
    case ErrorKind::kIo:
      return "file";
    case ErrorKind::kInterrupted:
      return "interrupted";
    case ErrorKind::kInternal:
      return "internal";
  }
  return "unknown";
}

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kUsage:
      return 2;
    case ErrorKind::kModel:
      return 3;
    case ErrorKind::kPlan:
      return 3;
    case ErrorKind::kUnsupported:
      return 4;
    case ErrorKind::kOutOfMemory:
      return 5;
    case ErrorKind::kDevice:
      return 6;
    case ErrorKind::kInterrupted:
      return 130;
    case ErrorKind::kIo:
    case ErrorKind::kInternal:
      return 1;
  }
  return 1;
}

Error::Error(ErrorKind kind, std::string message) : kind_(kind), message_(std::move(message)) {
  compose();
}

void Error::add_context(std::string line) {
  context_.push_back(std::move(line));
  compose();
}

void Error::compose() {
  text_ = std::string(to_string(kind_)) + " error: " + message_;
  for (const std::string& line : context_) text_ += "\n  in " + line;
}

}  // namespace gacer
