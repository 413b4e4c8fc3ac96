#include "tools/gacer/interrupt.h"

#include <signal.h>

#include <initializer_list>

namespace gacer::cli {
namespace {

// A signal handler can reach nothing but globals.
std::atomic<bool> is_interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free);

extern "C" void handle_interrupt(int) { is_interrupted.store(true, std::memory_order_relaxed); }

}  // namespace

void install_interrupt_handler() {
  for (const int number : {SIGINT, SIGTERM}) {
    struct sigaction action {};
    action.sa_handler = handle_interrupt;
    // The second signal meets the default again, which ends the process.
    action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
    ::sigaction(number, &action, nullptr);
  }
}

const std::atomic<bool>& interrupt_flag() { return is_interrupted; }

}  // namespace gacer::cli
