#include "engine/measuring_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include <nlohmann/json.hpp>
#include <spawn.h>

#include "base/error.h"

namespace gacer {
namespace {

using Clock = std::chrono::steady_clock;

/// Where the child finds its end of the pipe.
constexpr int kAnnounceDescriptor = 3;
constexpr std::chrono::milliseconds kTimeToStop{10000};

/// A descriptor with an owner.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }
  void close() {
    if (value_ >= 0) ::close(value_);
    value_ = -1;
  }

 private:
  int value_;
};

/// Both ends are closed in children unless handed to them by name.
struct Pipe {
  Pipe() : Pipe(make()) {}
  Descriptor read;
  Descriptor write;

 private:
  explicit Pipe(const std::array<int, 2>& ends) : read(ends[0]), write(ends[1]) {}
  static std::array<int, 2> make() {
    std::array<int, 2> ends = {-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
      fail(ErrorKind::kIo, "cannot make a pipe: {}", std::strerror(errno));
    return ends;
  }
};

class Actions {
 public:
  Actions() { ::posix_spawn_file_actions_init(&actions_); }
  ~Actions() { ::posix_spawn_file_actions_destroy(&actions_); }
  Actions(const Actions&) = delete;
  Actions& operator=(const Actions&) = delete;
  void duplicate(int from, int to) { ::posix_spawn_file_actions_adddup2(&actions_, from, to); }
  void open(int descriptor, const char* path, int flags) {
    ::posix_spawn_file_actions_addopen(&actions_, descriptor, path, flags, 0);
  }
  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_ = {};
};

/// In a process group of its own: Ctrl-C reaches the parent alone, which passes it on once.
pid_t start(std::vector<std::string> command, const Pipe& announcements, const Pipe& errors) {
  command.insert(command.end(), {"--announce", std::to_string(kAnnounceDescriptor)});
  std::vector<char*> arguments;
  for (std::string& argument : command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);

  // dup2 onto itself would keep the close-on-exec mark: move the pipe's end out of the way.
  const Descriptor sender(::fcntl(announcements.write.get(), F_DUPFD_CLOEXEC, 10));
  Actions actions;
  actions.open(STDIN_FILENO, "/dev/null", O_RDONLY);
  actions.open(STDOUT_FILENO, "/dev/null", O_WRONLY);
  actions.duplicate(errors.write.get(), STDERR_FILENO);
  actions.duplicate(sender.get(), kAnnounceDescriptor);
  posix_spawnattr_t attributes = {};
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(
      &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  // Whatever this program has done to its signals.
  sigset_t signals;
  ::sigemptyset(&signals);
  ::posix_spawnattr_setsigmask(&attributes, &signals);
  for (const int number : {SIGINT, SIGTERM, SIGCHLD, SIGPIPE}) ::sigaddset(&signals, number);
  ::posix_spawnattr_setsigdefault(&attributes, &signals);
  pid_t pid = 0;
  const int status =
      ::posix_spawn(&pid, arguments[0], actions.get(), &attributes, arguments.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  if (status != 0)
    fail(ErrorKind::kIo, "cannot start '{}' to measure in: {}", command[0], std::strerror(status));
  return pid;
}

/// Reads what there is; false at the end of the pipe.
bool read_some(int descriptor, std::string& text) {
  std::array<char, 4096> buffer = {};
  const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
  if (count < 0) return errno == EINTR || errno == EAGAIN;
  text.append(buffer.data(), static_cast<std::size_t>(count));
  return count > 0;
}

/// The process that is listened to.
class Child {
 public:
  Child(const std::vector<std::string>& command, const MeasuringOptions& options)
      : options_(options), pid_(start(command, announcements_, errors_)) {
    announcements_.write.close();
    errors_.write.close();
  }
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    wait();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  MeasuringEnd listen() {
    while (is_speaking_ || is_complaining_) {
      read_both();
      stop_if_asked();
      const auto now = Clock::now();
      if (end_.last && now - begin_ > options_.patience)
        return kill_hung("no end after {} s", options_.patience);
      if (now - heard_last_ > options_.silence)
        return kill_hung("no word for {} s", options_.silence);
    }
    judge(wait());
    return std::move(end_);
  }

 private:
  MeasuringEnd kill_hung(fmt::format_string<double> text, std::chrono::milliseconds limit) {
    ::kill(pid_, SIGKILL);
    end_.how = MeasuringEnd::How::kHung;
    end_.text = fmt::format(text, std::chrono::duration<double>(limit).count());
    wait();
    return std::move(end_);
  }

  void read_both() {
    // A closed pipe is left out by its negative descriptor.
    std::array<pollfd, 2> waiting = {{{is_speaking_ ? announcements_.read.get() : -1, POLLIN, 0},
                                      {is_complaining_ ? errors_.read.get() : -1, POLLIN, 0}}};
    constexpr int kLookUpMs = 100;
    if (::poll(waiting.data(), waiting.size(), kLookUpMs) <= 0) return;
    if (waiting[0].revents != 0) {
      is_speaking_ = read_some(announcements_.read.get(), heard_);
      heard_last_ = Clock::now();
      take_lines();
    }
    if (waiting[1].revents != 0) is_complaining_ = read_some(errors_.read.get(), complaints_);
  }

  void take_lines() {
    for (std::size_t end = heard_.find('\n'); end != std::string::npos; end = heard_.find('\n')) {
      take(heard_.substr(0, end));
      heard_.erase(0, end + 1);
    }
  }

  void take(const std::string& line) {
    const auto said = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    const auto kind = said.is_object() ? said.value("kind", "") : std::string();
    if (kind == "begin") {
      ProfileRow row;
      row.signature = said.value("signature", "");
      row.items = said.value("items", std::int64_t{1});
      row.variant = said.value("variant", "");
      row.width = said.value("width", 1);
      end_.last = std::move(row);
      end_.has_begun = true;
      begin_ = Clock::now();
    } else if (kind == "end") {
      end_.last.reset();
    } else if (kind == "progress") {
      if (options_.on_progress)
        options_.on_progress({said.value("phase", ""), said.value("done", std::int64_t{0}),
                              said.value("total", std::int64_t{0}), said.value("detail", "")});
    } else if (kind == "warning") {
      if (options_.on_warning) options_.on_warning(said.value("text", ""));
    } else {
      fail(ErrorKind::kInternal, "the process that measures said '{}'", line);
    }
  }

  void stop_if_asked() {
    if (options_.is_cancelled == nullptr || !options_.is_cancelled->load()) return;
    if (!asked_to_stop_) {
      asked_to_stop_ = Clock::now();
      ::kill(pid_, SIGINT);
    } else if (Clock::now() - *asked_to_stop_ > kTimeToStop) {
      ::kill(pid_, SIGKILL);
    }
  }

  int wait() {
    int status = 0;
    pid_t ended = 0;
    while ((ended = ::waitpid(pid_, &status, 0)) < 0 && errno == EINTR) {
    }
    // A program that ignores SIGCHLD is not told how its children end: what was said must do.
    if (ended < 0) status = end_.last ? SIGKILL : 0;
    pid_ = 0;
    return status;
  }

  void judge(int status) {
    using How = MeasuringEnd::How;
    constexpr std::size_t kMostText = 2000;
    if (complaints_.size() > kMostText) complaints_.erase(0, complaints_.size() - kMostText);
    while (complaints_.ends_with('\n')) complaints_.pop_back();
    end_.text = complaints_;
    if (asked_to_stop_) {
      end_.how = How::kInterrupted;
    } else if (WIFSIGNALED(status)) {
      end_.how = How::kCrashed;
      const int number = WTERMSIG(status);
      end_.text = fmt::format("signal {} ({}){}{}", number, ::strsignal(number),
                              complaints_.empty() ? "" : ": ", complaints_);
    } else {
      end_.exit_code = WEXITSTATUS(status);
      end_.how = end_.exit_code == 0                                    ? How::kDone
                 : end_.exit_code == exit_code(ErrorKind::kInterrupted) ? How::kInterrupted
                                                                        : How::kFailed;
    }
  }

  const MeasuringOptions& options_;
  Pipe announcements_;
  Pipe errors_;
  pid_t pid_;
  bool is_speaking_ = true;
  bool is_complaining_ = true;
  std::string heard_;
  std::string complaints_;
  Clock::time_point begin_;
  Clock::time_point heard_last_ = Clock::now();
  std::optional<Clock::time_point> asked_to_stop_;
  MeasuringEnd end_;
};

/// Names in models need not be UTF-8.
std::string to_line(const nlohmann::json& message) {
  return message.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace

Announcer::Announcer(int descriptor) : descriptor_(descriptor) {
  if (::fcntl(descriptor, F_SETFD, FD_CLOEXEC) < 0)
    fail(ErrorKind::kUsage, "descriptor {} is not open for announcements", descriptor);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
}

void Announcer::begin(const ProfileRow& row) const {
  write(to_line({{"kind", "begin"},
                 {"signature", row.signature},
                 {"items", row.items},
                 {"variant", row.variant},
                 {"width", row.width}}));
}

void Announcer::end() const { write(to_line({{"kind", "end"}})); }

void Announcer::progress(const Progress& progress) const {
  write(to_line({{"kind", "progress"},
                 {"phase", progress.phase},
                 {"done", progress.done},
                 {"total", progress.total},
                 {"detail", progress.detail}}));
}

void Announcer::warning(const std::string& text) const {
  write(to_line({{"kind", "warning"}, {"text", text}}));
}

void Announcer::write(const std::string& text) const {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = ::write(descriptor_, text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      fail(ErrorKind::kIo, "cannot write to descriptor {}: {}", descriptor_, std::strerror(errno));
    done += static_cast<std::size_t>(count);
  }
}

MeasuringEnd run_measuring_process(const std::vector<std::string>& command,
                                   const MeasuringOptions& options) {
  if (command.empty()) fail(ErrorKind::kUsage, "there is no command to measure with");
  return Child(command, options).listen();
}

}  // namespace gacer
