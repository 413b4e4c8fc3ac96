#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace gacer {

/// What went wrong, in the terms a caller can act on. Each kind maps to one exit code of the tool.
enum class ErrorKind {
  kUsage,        ///< the request itself is wrong (unknown option, policy, zoo name)          exit 2
  kModel,        ///< the model file is corrupt, inconsistent or has unbound dimensions       exit 3
  kPlan,         ///< the plan is illegal, foreign or edited                                  exit 3
  kUnsupported,  ///< an operator, attribute, type or opset that no kernel here can run       exit 4
  kOutOfMemory,  ///< does not fit: the message says bytes needed and bytes free              exit 5
  kDevice,       ///< the device or its libraries failed, or it does not exist                exit 6
  kIo,           ///< a file could not be read or written                                     exit 1
  kInterrupted,  ///< the user or a limit stopped the work; what was measured is kept         exit
                 ///< 130
  kInternal,     ///< our mistake                                                             exit 1
};

/// Lower-case name of a kind ("model", "out of memory", …).
const char* to_string(ErrorKind kind);

/// The process exit code of the tool for a kind.
int exit_code(ErrorKind kind);

/// Ends a request. The message names the offending values; context lines are added on the way up,
/// innermost first ("node 'conv1' (Conv)", "model 'det.onnx'").
class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string message);

  ErrorKind kind() const { return kind_; }
  const std::string& message() const { return message_; }
  const std::vector<std::string>& context() const { return context_; }

  /// Appends one line of context; meant for `catch (Error& e) { e.add_context(...); throw; }`.
  void add_context(std::string line);

  /// "model error: MESSAGE\n  in CONTEXT…"
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  void compose();

  ErrorKind kind_;
  std::string message_;
  std::vector<std::string> context_;
  std::string text_;
};

}  // namespace gacer
