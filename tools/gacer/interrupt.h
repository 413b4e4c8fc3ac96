#pragma once

#include <atomic>

namespace gacer::cli {

/// From now on the first Ctrl-C (SIGINT) or SIGTERM sets the flag and a second one kills.
void install_interrupt_handler();

/// Set once the user asked to stop.
const std::atomic<bool>& interrupt_flag();

}  // namespace gacer::cli
