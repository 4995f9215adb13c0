// A signal without consequences but EINTR.
#include "data/blocking.h"

#include <pthread.h>

#include <csignal>

namespace mcn {
namespace {

extern "C" void take_no_notice(int) {}

// Without SA_RESTART, with which the system call would go on.
bool handle() {
  struct sigaction now {};
  if (sigaction(SIGURG, nullptr, &now) != 0 || (now.sa_flags & SA_SIGINFO) != 0 ||
      (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN))
    return false;
  struct sigaction quiet {};
  quiet.sa_handler = take_no_notice;
  return sigaction(SIGURG, &quiet, nullptr) == 0;
}

}  // namespace

void interrupt_blocking_call(std::thread& thread) {
  static const bool handled = handle();
  if (handled) pthread_kill(thread.native_handle(), SIGURG);
}

}  // namespace mcn
